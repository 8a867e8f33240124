using Mesh.Sidecar.Http.Upstream;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;

namespace Mesh.Sidecar.Http;

/// <summary>Which header fields of an answer go on to the client. No I/O.</summary>
internal static class ResponseRules
{
    /// <summary>Copies status and end-to-end fields into Kestrel's response.</summary>
    public static void Copy(IUpstreamCall call, Exchange x)
    {
        x.Response.StatusCode = call.Status;
        if (call.Reason is { } reason) x.Response.ReasonPhrase = reason;
        var to = x.Response.Headers;
        var from = call.Headers;
        var nominated = false;
        for (var i = 0; i < from.Count; i++)
        {
            ref readonly var field = ref from[i];
            switch (field.Kind)
            {
                // A peer's word to us.
                case FieldKind.MeshUntouched: break;
                // A sidecar's word to the client; from an application, or who did not prove to be that sidecar, it would be a lie.
                case FieldKind.Mesh or FieldKind.MeshSource or FieldKind.MeshHops when !call.IsProven: break;
                case FieldKind.HopByHop or FieldKind.TransferEncoding or FieldKind.Upgrade or FieldKind.Te or FieldKind.ContentLength: break;
                case FieldKind.Connection: nominated |= field.Value is not ("keep-alive" or "close"); break;
                case FieldKind.Trailer when !x.Http2: break;
                case FieldKind.GrpcStatus:
                    x.Facts.GrpcStatus = GrpcStatus(field.Value);
                    Add(to, field);
                    break;
                default: Add(to, field); break;
            }
        }

        if (call.Status == 101)
        {
            to.Connection = "Upgrade";
            to.Upgrade = "websocket";
        }

        if (nominated) RemoveNominated(from, to);
        if (call.Status is not (204 or (>= 100 and < 200)) && Length(call, x) is >= 0 and var length) to.ContentLength = length;
    }

    /// <summary>Copies trailers; returns false when there are some and the client's connection cannot carry them.</summary>
    public static bool CopyTrailers(IUpstreamCall call, Exchange x)
    {
        var from = call.Trailers;
        if (from.Count == 0) return true;
        var to = x.ResponseTrailers;
        for (var i = 0; i < from.Count; i++)
        {
            ref readonly var field = ref from[i];
            if (field.Kind == FieldKind.GrpcStatus) x.Facts.GrpcStatus = GrpcStatus(field.Value);
            // Framing, routing and connection fields have no business in trailers (RFC 9110 §6.5.1).
            if (field.Kind is FieldKind.EndToEnd or FieldKind.GrpcStatus && to is not null) Add(to, field);
        }

        return to is not null;
    }

    /// <summary>The length the client is told: the body's, or for HEAD and 304 what the server said it would be.</summary>
    private static long Length(IUpstreamCall call, Exchange x)
    {
        if (x.Facts.Method != "HEAD" && call.Status != 304) return call.BodyLength;
        return call.Headers.Find("Content-Length") is { } said && HeaderTokens.TryLength(said, out var length) ? length : -1;
    }

    private static void Add(IHeaderDictionary to, in HeaderList.Field field)
    {
        var there = to[field.Name];
        to[field.Name] = there.Count == 0 ? field.Value : StringValues.Concat(there, field.Value);
    }

    private static void RemoveNominated(HeaderList from, IHeaderDictionary to)
    {
        for (var i = 0; i < from.Count; i++)
        {
            if (from[i].Kind != FieldKind.Connection) continue;
            foreach (var name in from[i].Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
            {
                if (FieldRules.KindOf(name) == FieldKind.EndToEnd) to.Remove(name);
            }
        }
    }

    private static int GrpcStatus(string value) => int.TryParse(value, out var status) && status is >= 0 and < 1000 ? status : 2;
}
