using System.Buffers;
using System.Buffers.Text;
using System.Text;
using Microsoft.AspNetCore.WebUtilities;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>How the end of a body is told.</summary>
internal enum BodyEnd
{
    /// <summary>There is no body.</summary>
    None,

    /// <summary>By its length.</summary>
    Length,

    /// <summary>By chunks.</summary>
    Chunks,

    /// <summary>By the end of the connection.</summary>
    Close,
}

/// <summary>
/// Reads the head of an HTTP/1 response, strictly: an upstream is trusted no more than a client. Reused by one connection.
/// What is not exactly RFC 9112 is an error, in words: lone line feeds, folded lines, odd names and lengths, both ways of framing.
/// </summary>
internal sealed class ResponseHead
{
    /// <summary>Bound of the head in bytes.</summary>
    public const int MaxBytes = 32 * 1024;
    private const int MaxFields = 100;
    private static readonly SearchValues<byte> TokenBytes =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);

    private static readonly SearchValues<byte> Controls =
        SearchValues.Create("\0\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008\n\u000b\u000c\r\u000e\u000f\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f\u007f"u8);

    /// <summary>Header fields, all of them.</summary>
    public HeaderList Fields { get; } = new();

    /// <summary>Status code.</summary>
    public int Status { get; private set; }

    /// <summary>Reason phrase when it is not the usual one.</summary>
    public string? Reason { get; private set; }

    /// <summary>How the body ends, as the fields say; the request's method may overrule it.</summary>
    public BodyEnd End { get; private set; }

    /// <summary>Length, when that tells.</summary>
    public long Length { get; private set; }

    /// <summary>True when the server keeps the connection open.</summary>
    public bool KeepAlive { get; private set; }

    /// <summary>Finds the empty line that ends a head: its end, 0 when more bytes are needed, -1 for a line that does not end in CR LF.</summary>
    /// <param name="bytes">All bytes so far.</param>
    /// <param name="scanned">How far earlier calls have looked; begins at 0.</param>
    public static int FindEnd(ReadOnlySpan<byte> bytes, ref int scanned)
    {
        while (true)
        {
            var feed = bytes[scanned..].IndexOf((byte)'\n');
            if (feed < 0) return 0;
            feed += scanned;
            if (feed == 0 || bytes[feed - 1] != '\r') return -1;
            if (feed >= 3 && bytes[feed - 2] == '\n') return feed + 1;
            scanned = feed + 1;
        }
    }

    /// <summary>Reads a whole head, its last empty line included. Null when it is good, else what is wrong.</summary>
    public string? Read(ReadOnlySpan<byte> head)
    {
        Fields.Clear();
        End = BodyEnd.None;
        Length = -1;
        var end = head.IndexOf((byte)'\n');
        if (ReadStatusLine(head[..(end - 1)]) is { } bad) return bad;
        head = head[(end + 1)..];
        var framing = new Framing();
        while (head.Length > 2)
        {
            end = head.IndexOf((byte)'\n');
            if (ReadField(head[..(end - 1)], Fields) is { } wrong) return wrong;
            if (Fields.Count > MaxFields) return "more than 100 header fields";
            if (framing.Note(Fields[Fields.Count - 1]) is { } unclear) return unclear;
            head = head[(end + 1)..];
        }

        return Frame(framing);
    }

    /// <summary>Reads one field line without its line end into <paramref name="into"/>. Null when it is good.</summary>
    public static string? ReadField(ReadOnlySpan<byte> line, HeaderList into)
    {
        var colon = line.IndexOf((byte)':');
        if (colon <= 0) return "a header field name is not a token";
        var value = HeaderTokens.TrimBlanks(line[(colon + 1)..]);
        // Most answers of an instance have the same fields at the same place.
        if (into.TryRepeat(line[..colon], value)) return null;
        if (line[..colon].ContainsAnyExcept(TokenBytes)) return "a header field name is not a token";
        if (value.ContainsAny(Controls)) return "a header field value holds a control character";
        into.Add(line[..colon], value);
        return null;
    }

    private string? ReadStatusLine(ReadOnlySpan<byte> line)
    {
        // HTTP/1.x NNN[ reason]
        if (line.Length < 12 || !line.StartsWith("HTTP/1."u8) || line[7] is < (byte)'0' or > (byte)'9' || line[8] != ' ')
            return "the status line is not HTTP/1";
        if (!Utf8Parser.TryParse(line.Slice(9, 3), out int status, out var used) || used != 3 || status is < 100 or > 599)
            return "the status code is not a number from 100 to 599";
        if (line.Length > 12 && line[12] != ' ') return "the status line is not HTTP/1";
        var reason = line.Length > 13 ? line[13..] : [];
        if (reason.ContainsAny(Controls)) return "the reason phrase holds a control character";
        Status = status;
        KeepAlive = line[7] != '0';
        Reason = Ascii.Equals(reason, ReasonPhrases.GetReasonPhrase(status)) ? null : Encoding.Latin1.GetString(reason);
        return null;
    }

    private string? Frame(Framing framing)
    {
        if (framing.Close) KeepAlive = false;
        else if (framing.KeepAlive) KeepAlive = true;
        if (framing.Chunked && framing.Length >= 0) return "both Content-Length and Transfer-Encoding";
        Length = framing.Length;
        // These have no content (RFC 9110 §15). When one is announced all the same, nobody knows whether its bytes come later.
        if (Status is 204 or 205 && (framing.Chunked || framing.Length > 0)) KeepAlive = false;
        if (Status is (>= 100 and < 200) or 204 or 205 or 304) End = BodyEnd.None;
        else if (framing.Chunked) End = BodyEnd.Chunks;
        else if (framing.Length >= 0) End = framing.Length == 0 ? BodyEnd.None : BodyEnd.Length;
        else End = BodyEnd.Close;
        return null;
    }

    /// <summary>What the fields say about framing and the connection.</summary>
    private struct Framing()
    {
        public long Length = -1;
        public bool Chunked;
        public bool Close;
        public bool KeepAlive;

        public string? Note(in HeaderList.Field field)
        {
            switch (field.Kind)
            {
                case FieldKind.ContentLength: return NoteLength(field.Value);
                case FieldKind.TransferEncoding:
                    if (Chunked || !field.Value.Equals("chunked", StringComparison.OrdinalIgnoreCase)) return "a transfer coding other than chunked";
                    Chunked = true;
                    return null;
                case FieldKind.Connection:
                    KeepAlive |= field.Value == "keep-alive" || HeaderTokens.Contains(field.Value, "keep-alive");
                    Close |= field.Value != "keep-alive" && HeaderTokens.Contains(field.Value, "close");
                    return null;
                default: return null;
            }
        }

        private string? NoteLength(string value)
        {
            if (!HeaderTokens.TryLength(value, out var length)) return "a Content-Length that is no number";
            if (Length >= 0 && Length != length) return "two Content-Lengths that differ";
            Length = length;
            return null;
        }
    }
}
