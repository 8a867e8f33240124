using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Telemetry;
using Microsoft.Extensions.Primitives;

namespace Mesh.Sidecar.Http;

/// <summary>
/// What a request must be to be forwarded, and which of its header fields go on. Strict: whatever two readers could understand differently
/// is refused here, before anything is forwarded. No I/O.
/// </summary>
internal static class RequestRules
{
    /// <summary>
    /// Reads a request into its exchange: target, authority, framing, end-to-end fields. Null when it is good, else what is wrong with it.
    /// </summary>
    public static string? Read(Exchange x)
    {
        var facts = x.Facts;
        if (!FieldRules.IsToken(facts.Method)) return "the method is not a token";
        if (facts.Method == "CONNECT") return "CONNECT must be the first request of a connection";
        if (ReadTarget(x) is { } wrongTarget) return wrongTarget;
        var nominated = default(StringValues);
        foreach (var (name, values) in x.RequestHeaders)
        {
            if (!FieldRules.IsToken(name)) return $"the header field name '{Printable(name)}' is not a token";
            var kind = FieldRules.KindOf(name);
            if (kind == FieldKind.TransferEncoding && values.Count > 1) return "more than one Transfer-Encoding";
            foreach (var value in values)
            {
                if (value is null) continue;
                if (!FieldRules.IsValue(value)) return $"the value of the header field '{name}' holds a control character";
                if (Take(x, kind, name, value) is { } wrong) return wrong;
            }

            if (kind == FieldKind.Connection) nominated = values;
        }

        foreach (var list in nominated)
        {
            if (list is not null) RemoveNominated(x.Headers, list);
        }

        return null;
    }

    /// <summary>Tells the application who calls, by what the handshake proved; what the caller said of itself was dropped.</summary>
    public static void AddCaller(Exchange x, ClientCertDetails details)
    {
        if (details != ClientCertDetails.None && x.Connection.Peer is { } peer) x.Headers.Add(FieldRules.ClientCert, peer.Forwarded(details), FieldKind.ClientCert);
    }

    /// <summary>Adds the fields that are ours to add, once it is known where the request goes.</summary>
    public static void AddOwn(Exchange x, Identifiers identifiers, string? source, bool foreign)
    {
        var facts = x.Facts;
        var fields = x.Headers;
        if (facts.RequestId.Length == 0) facts.RequestId = identifiers.RequestId();
        fields.Add("x-request-id", facts.RequestId, FieldKind.RequestId);
        if (facts.Span is not null || !TraceContext.IsValid(facts.TraceParent)) facts.TraceParent = identifiers.TraceParent(facts.Span);
        fields.Add("traceparent", facts.TraceParent, FieldKind.TraceParent);
        if (!x.HasForwardedProto) fields.Add(FieldRules.ForwardedProto, FieldRules.UsualProto, FieldKind.ForwardedProto);
        // Foreign hosts learn nothing about who calls; loops through them are cut by counting.
        if (source is not null && !foreign) fields.Add("x-mesh-source", source, FieldKind.MeshSource);
        if (foreign) fields.Add("x-mesh-hops", x.Hops == 0 ? "1" : (x.Hops + 1).ToString(System.Globalization.CultureInfo.InvariantCulture));
    }

    private static string? ReadTarget(Exchange x)
    {
        var host = x.RequestHeaders.Host;
        if (host.Count > 1) return "more than one Host";
        var wrong = RequestTarget.Parse(x.Facts.Method, x.RawTarget, host.Count == 0 ? "" : host[0] ?? "", out var authority, out var target, out var absolute);
        x.Facts.Authority = authority;
        if (wrong is not null) return wrong;
        x.Target = target;
        x.AbsoluteForm = absolute;
        if (authority.Length == 0) return x.Facts.Protocol == "HTTP/1.0" ? null : "the Host is empty";
        return RequestTarget.IsAuthority(authority) ? null : $"the Host '{Printable(authority)}' is not a host name with an optional port";
    }

    private static string? Take(Exchange x, FieldKind kind, string name, string value)
    {
        switch (kind)
        {
            case FieldKind.HopByHop or FieldKind.Connection or FieldKind.Host or FieldKind.Trailer: return null;
            case FieldKind.HiddenLength or FieldKind.ContentLength or FieldKind.TransferEncoding: return TakeFraming(x, kind, name, value);
            case FieldKind.Expect:
                if (!value.Equals("100-continue", StringComparison.OrdinalIgnoreCase)) return "the expectation cannot be met: only 100-continue is known";
                x.ExpectsContinue = x.Body.Exists && !x.Http2;
                return null;
            case FieldKind.Te:
                if (HeaderTokens.Contains(value, "trailers")) x.Headers.Add("TE", "trailers", FieldKind.Te);
                return null;
            case FieldKind.Upgrade:
                x.WebSocket = !x.Http2 && x.Facts.Method == "GET" && value.Equals("websocket", StringComparison.OrdinalIgnoreCase)
                    && x.Upgrade is { IsUpgradableRequest: true };
                return null;
            default:
                TakeKnown(x, kind, name, value);
                return null;
        }
    }

    private static void TakeKnown(Exchange x, FieldKind kind, string name, string value)
    {
        var facts = x.Facts;
        switch (kind)
        {
            case FieldKind.RequestId: facts.RequestId = value; return;
            case FieldKind.TraceParent: facts.TraceParent = value; return;
            case FieldKind.MeshSource: x.MeshSource = value; return;
            // What these say counts only between proxies of the mesh. Who proved to be one may tell what Envoys tell each other.
            case FieldKind.Mesh or FieldKind.MeshUntouched or FieldKind.ClientCert: return;
            case FieldKind.Envoy when x.Connection.Peer is null: return;
            case FieldKind.MeshHops: _ = int.TryParse(value, out var hops); x.Hops = Math.Max(0, hops); return;
            case FieldKind.ForwardedProto: x.HasForwardedProto = true; break;
            case FieldKind.UserAgent: facts.UserAgent = value; break;
            case FieldKind.ForwardedFor: facts.ForwardedFor = value; break;
            case FieldKind.ContentType: facts.Grpc = IsGrpc(value); break;
        }

        x.Headers.Add(name, value, kind);
    }

    private static string? TakeFraming(Exchange x, FieldKind kind, string name, string value)
    {
        switch (kind)
        {
            case FieldKind.ContentLength:
                if (!HeaderTokens.TryLength(value, out var length)) return "the Content-Length is not a number";
                x.BodyLength = x.Body.Exists ? length : 0;
                x.SaysEmptyBody = true;
                return null;
            case FieldKind.TransferEncoding:
                if (x.Facts.Protocol == "HTTP/1.0") return "Transfer-Encoding in an HTTP/1.0 request";
                if (!value.Equals("chunked", StringComparison.OrdinalIgnoreCase)) return "a transfer coding other than chunked";
                return x.RequestHeaders.ContainsKey("X-Content-Length") ? "both Content-Length and Transfer-Encoding" : null;
            default:
                x.Headers.Add(name, value, kind);
                return null;
        }
    }

    private static void RemoveNominated(HeaderList fields, ReadOnlySpan<char> list)
    {
        foreach (var range in list.Split(','))
        {
            var name = list[range].Trim(" \t");
            if (name.IsEmpty || name.Equals("keep-alive", StringComparison.OrdinalIgnoreCase) || name.Equals("close", StringComparison.OrdinalIgnoreCase)) continue;
            // TE names itself where it is allowed at all; what it says is ours to repeat.
            if (!name.Equals("TE", StringComparison.OrdinalIgnoreCase)) fields.Remove(name);
        }
    }

    private static bool IsGrpc(string contentType) =>
        contentType.StartsWith("application/grpc", StringComparison.OrdinalIgnoreCase)
        && (contentType.Length == 16 || contentType[16] is '+' or ';' or ' ');

    private static string Printable(string text) =>
        string.Concat(text.Length > 64 ? text.AsSpan(0, 64) : text, "").Replace('\r', '?').Replace('\n', '?').Replace('\0', '?');
}
