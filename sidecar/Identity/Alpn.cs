using System.Collections.Immutable;
using System.Net.Security;

namespace Mesh.Sidecar.Identity;

/// <summary>The protocol names by which TLS connections say what they carry. Pure.</summary>
internal static class Alpn
{
    /// <summary>HTTP/1.1 between sidecars, as Istio has it.</summary>
    public const string MeshHttp1 = "istio-http/1.1";

    /// <summary>HTTP/2 between sidecars.</summary>
    public const string MeshHttp2 = "istio-h2";

    /// <summary>Anything else between sidecars.</summary>
    public const string MeshTcp = "istio";

    private const string Http1 = "http/1.1";
    private const string Http2 = "h2";

    /// <summary>Whether a connection of this protocol is HTTP/2; null when its name does not say.</summary>
    public static bool? SaysHttp2(string protocol) => protocol switch
    {
        MeshHttp2 or Http2 => true,
        MeshHttp1 or Http1 => false,
        _ => null,
    };

    /// <summary>
    /// What a client offers. Between sidecars the name says what is carried now: a port whose protocol is found by detection carries HTTP/1
    /// on one connection and HTTP/2 on the next. Elsewhere it is what the configuration lists, without what we would not speak.
    /// </summary>
    public static List<SslApplicationProtocol> Offer(ImmutableArray<string> configured, Carried carried)
    {
        if (configured.Any(p => p is MeshHttp1 or MeshHttp2 or MeshTcp))
            return [new SslApplicationProtocol(carried switch { Carried.Http1 => MeshHttp1, Carried.Http2 => MeshHttp2, _ => MeshTcp })];
        return [.. configured.Where(p => carried switch { Carried.Http1 => p != Http2, Carried.Http2 => p != Http1, _ => true })
            .Select(p => new SslApplicationProtocol(p))];
    }
}
