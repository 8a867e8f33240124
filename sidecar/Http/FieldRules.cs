using System.Buffers;

namespace Mesh.Sidecar.Http;

/// <summary>What a header field is to a proxy.</summary>
internal enum FieldKind
{
    /// <summary>Goes through as it is.</summary>
    EndToEnd,

    /// <summary>Belongs to one connection and never goes through.</summary>
    HopByHop,

    /// <summary>Lists further fields that belong to one connection.</summary>
    Connection,

    /// <summary>Length of the body: the sender of each connection writes its own.</summary>
    ContentLength,

    /// <summary>What Kestrel makes of a Content-Length that came together with a Transfer-Encoding.</summary>
    HiddenLength,

    /// <summary>Coding of the body on one connection.</summary>
    TransferEncoding,

    /// <summary>Goes through only when it says <c>trailers</c>.</summary>
    Te,

    /// <summary>Goes through only when it says <c>websocket</c>.</summary>
    Upgrade,

    /// <summary>Announces trailers: goes where trailers can go.</summary>
    Trailer,

    /// <summary>Authority: written from the target.</summary>
    Host,

    /// <summary>Wish for an interim response.</summary>
    Expect,

    /// <summary>Identifier of the request.</summary>
    RequestId,

    /// <summary>W3C trace.</summary>
    TraceParent,

    /// <summary>Who calls, between sidecars.</summary>
    MeshSource,

    /// <summary>Answer of a sidecar whose application never got the request; between sidecars only.</summary>
    MeshUntouched,

    /// <summary>Other fields of the mesh's own: between sidecars only, and from sidecars to clients.</summary>
    Mesh,

    /// <summary>Who calls, by the certificate of its connection (x-forwarded-client-cert): never a sender's own word.</summary>
    ClientCert,

    /// <summary>Envoy's own (x-envoy-*): between proxies of the mesh only.</summary>
    Envoy,

    /// <summary>How many sidecars forwarded to an unknown destination.</summary>
    MeshHops,

    /// <summary>Scheme the client used.</summary>
    ForwardedProto,

    /// <summary>For the access log.</summary>
    UserAgent,

    /// <summary>For the access log.</summary>
    ForwardedFor,

    /// <summary>Tells gRPC.</summary>
    ContentType,

    /// <summary>gRPC status in a response that has only headers.</summary>
    GrpcStatus,
}

/// <summary>The ONE table of fields a proxy treats specially, and the characters fields may hold (RFC 9110 §5). Pure.</summary>
internal static class FieldRules
{
    /// <summary>
    /// Field in an inbound sidecar's answer that says: the application was never reached, so trying elsewhere repeats nothing.
    /// </summary>
    public const string Untouched = "x-mesh-untouched";

    /// <summary>Field that tells an application who calls, as Envoy writes it.</summary>
    public const string ClientCert = "x-forwarded-client-cert";

    /// <summary>Field that tells the scheme a client used.</summary>
    public const string ForwardedProto = "x-forwarded-proto";

    /// <summary>Its value where the client sent none.</summary>
    public const string UsualProto = "http";

    private const string MeshPrefix = "x-mesh-";
    private const string EnvoyPrefix = "x-envoy-";

    private static readonly SearchValues<char> TokenChars =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

    private static readonly SearchValues<char> Controls = SearchValues.Create(
        "\0\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008\n\u000b\u000c\r\u000e\u000f\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f\u007f");

    /// <summary>True for a token (RFC 9110 §5.6.2): what names and methods are made of.</summary>
    public static bool IsToken(ReadOnlySpan<char> text) => !text.IsEmpty && !text.ContainsAnyExcept(TokenChars);

    /// <summary>True for a value without control characters; bytes from 0x80 are allowed as obs-text.</summary>
    public static bool IsValue(ReadOnlySpan<char> text) => !text.ContainsAny(Controls);

    /// <summary>The kind of a field, by its length first: most names cost one comparison or none.</summary>
    public static FieldKind KindOf(string name) => name.Length switch
    {
        2 when Is(name, "TE") => FieldKind.Te,
        4 when Is(name, "Host") => FieldKind.Host,
        6 when Is(name, "Expect") => FieldKind.Expect,
        7 when Is(name, "Trailer") => FieldKind.Trailer,
        7 when Is(name, "Upgrade") => FieldKind.Upgrade,
        10 when Is(name, "Connection") => FieldKind.Connection,
        10 when Is(name, "Keep-Alive") => FieldKind.HopByHop,
        10 when Is(name, "User-Agent") => FieldKind.UserAgent,
        11 when Is(name, "traceparent") => FieldKind.TraceParent,
        11 when IsOurs(name, "x-mesh-hops") => FieldKind.MeshHops,
        11 when Is(name, "grpc-status") => FieldKind.GrpcStatus,
        12 when Is(name, "x-request-id") => FieldKind.RequestId,
        12 when Is(name, "Content-Type") => FieldKind.ContentType,
        13 when IsOurs(name, "x-mesh-source") => FieldKind.MeshSource,
        14 when Is(name, "Content-Length") => FieldKind.ContentLength,
        14 when Is(name, "HTTP2-Settings") => FieldKind.HopByHop,
        15 when Is(name, "X-Forwarded-For") => FieldKind.ForwardedFor,
        16 when Is(name, "X-Content-Length") => FieldKind.HiddenLength,
        16 when IsOurs(name, Untouched) => FieldKind.MeshUntouched,
        16 when Is(name, "Proxy-Connection") => FieldKind.HopByHop,
        17 when Is(name, "Transfer-Encoding") => FieldKind.TransferEncoding,
        17 when Is(name, "X-Forwarded-Proto") => FieldKind.ForwardedProto,
        18 when Is(name, "Proxy-Authenticate") => FieldKind.HopByHop,
        19 when Is(name, "Proxy-Authorization") => FieldKind.HopByHop,
        23 when IsOurs(name, ClientCert) => FieldKind.ClientCert,
        > 7 when (name[0] | 0x20) == 'x' && name[1] is '-' or '_' => Prefixed(name),
        _ => FieldKind.EndToEnd,
    };

    private static FieldKind Prefixed(string name)
    {
        if (Begins(name, MeshPrefix)) return FieldKind.Mesh;
        return Begins(name, EnvoyPrefix) ? FieldKind.Envoy : FieldKind.EndToEnd;
    }

    private static bool Begins(string name, string prefix)
    {
        for (var i = 0; i < prefix.Length; i++)
        {
            var c = name[i] == '_' ? '-' : char.ToLowerInvariant(name[i]);
            if (c != prefix[i]) return false;
        }

        return true;
    }

    private static bool Is(string name, string other) => name.Equals(other, StringComparison.OrdinalIgnoreCase);

    /// <summary>Our own fields also in the spelling that some servers read as the same (CGI turns both - and _ into _).</summary>
    private static bool IsOurs(string name, string own) => Is(name, own) || (name.Contains('_', StringComparison.Ordinal) && Is(name.Replace('_', '-'), own));
}
