using System.Buffers;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>Writes requests as HTTP/1.1. Pure but for the buffer: exactly one canonical form leaves, whatever came in.</summary>
internal static class Http1RequestWriter
{
    /// <summary>Writes the head.</summary>
    public static void Head(WireBuffer to, Exchange exchange)
    {
        to.Append(exchange.Facts.Method);
        to.Append(" "u8);
        to.Append(exchange.Target);
        to.Append(" HTTP/1.1\r\nHost: "u8);
        to.Append(exchange.Facts.Authority);
        to.Append("\r\n"u8);
        var fields = exchange.Headers;
        for (var i = 0; i < fields.Count; i++)
        {
            ref readonly var field = ref fields[i];
            to.Append(field.Name);
            to.Append(": "u8);
            to.Append(field.Value);
            to.Append("\r\n"u8);
        }

        if (exchange.BodyLength < 0) to.Append("Transfer-Encoding: chunked\r\n"u8);
        else if (exchange.BodyLength > 0 || exchange.SaysEmptyBody) Length(to, exchange.BodyLength);
        if (exchange.ExpectsContinue) to.Append("Expect: 100-continue\r\n"u8);
        if (exchange.WebSocket) to.Append("Connection: Upgrade\r\nUpgrade: websocket\r\n"u8);
        to.Append("\r\n"u8);
    }

    /// <summary>Writes a piece of the body, with its chunk around it when it is sent in chunks.</summary>
    public static void Body(WireBuffer to, in ReadOnlySequence<byte> piece, bool chunked)
    {
        if (piece.IsEmpty) return;
        if (chunked)
        {
            to.AppendHex(piece.Length);
            to.Append("\r\n"u8);
        }

        foreach (var part in piece) to.Append(part.Span);
        if (chunked) to.Append("\r\n"u8);
    }

    /// <summary>Writes the end of a body in chunks.</summary>
    public static void LastChunk(WireBuffer to) => to.Append("0\r\n\r\n"u8);

    private static void Length(WireBuffer to, long length)
    {
        to.Append("Content-Length: "u8);
        to.Append(length);
        to.Append("\r\n"u8);
    }
}
