using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Xds;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>
/// Type URLs of what may stand in an Any. As constants: a descriptor would build the reflection of every proto file first, which costs
/// more than the rest of the program's start. Pure.
/// </summary>
internal static class AnyTypes
{
    public const string HttpConnectionManager = TypeUrls.Prefix + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    public const string TcpProxy = TypeUrls.Prefix + "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    public const string Router = TypeUrls.Prefix + "envoy.extensions.filters.http.router.v3.Router";
    public const string HttpRbac = TypeUrls.Prefix + "envoy.extensions.filters.http.rbac.v3.RBAC";
    public const string NetworkRbac = TypeUrls.Prefix + "envoy.extensions.filters.network.rbac.v3.RBAC";
    public const string HttpInspector = TypeUrls.Prefix + "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector";
    public const string OriginalDst = TypeUrls.Prefix + "envoy.extensions.filters.listener.original_dst.v3.OriginalDst";
    public const string TlsInspector = TypeUrls.Prefix + "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
    public const string UpstreamTlsContext = TypeUrls.Prefix + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    public const string DownstreamTlsContext = TypeUrls.Prefix + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
    public const string RawBuffer = TypeUrls.Prefix + "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";
    public const string HttpProtocolOptions = TypeUrls.Prefix + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    public const string RoundRobin = TypeUrls.Prefix + "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin";
    public const string LeastRequest = TypeUrls.Prefix + "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest";

    /// <summary>True when <paramref name="any"/> is there and holds this type, whatever stands before the last slash of its URL.</summary>
    public static bool Holds(this Any? any, string typeUrl) => any is not null && Name(any.TypeUrl).SequenceEqual(Name(typeUrl));

    /// <summary>The full message name in a type URL.</summary>
    public static ReadOnlySpan<char> Name(string typeUrl) => typeUrl.AsSpan(typeUrl.LastIndexOf('/') + 1);
}
