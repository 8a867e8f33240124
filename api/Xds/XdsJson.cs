using Envoy.Config.Cluster.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.LoadBalancingPolicies.LeastRequest.V3;
using Envoy.Extensions.LoadBalancingPolicies.PickFirst.V3;
using Envoy.Extensions.LoadBalancingPolicies.RingHash.V3;
using Envoy.Extensions.LoadBalancingPolicies.RoundRobin.V3;
using Envoy.Extensions.LoadBalancingPolicies.WrrLocality.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Envoy.Extensions.Upstreams.Http.V3;
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace Mesh.Api.Xds;

/// <summary>
/// xDS resources as JSON, in protobuf's form, with the messages inside <c>typed_config</c> spelled out. Safe from any thread.
/// </summary>
public static class XdsJson
{
    /// <summary>Every message that may stand in an Any.</summary>
    public static TypeRegistry Types { get; } = TypeRegistry.FromFiles(
        ListenerReflection.Descriptor,
        ClusterReflection.Descriptor,
        SecretReflection.Descriptor,
        Envoy.Extensions.TransportSockets.RawBuffer.V3.RawBufferReflection.Descriptor,
        TlsReflection.Descriptor,
        TlsSpiffeValidatorConfigReflection.Descriptor,
        HttpProtocolOptionsReflection.Descriptor,
        Envoy.Config.Route.V3.RouteReflection.Descriptor,
        Envoy.Extensions.Clusters.Aggregate.V3.ClusterReflection.Descriptor,
        Envoy.Extensions.Filters.Http.Rbac.V3.RbacReflection.Descriptor,
        Envoy.Extensions.Filters.Http.Router.V3.RouterReflection.Descriptor,
        Envoy.Extensions.Filters.Listener.HttpInspector.V3.HttpInspectorReflection.Descriptor,
        Envoy.Extensions.Filters.Listener.OriginalDst.V3.OriginalDstReflection.Descriptor,
        Envoy.Extensions.Filters.Listener.OriginalSrc.V3.OriginalSrcReflection.Descriptor,
        Envoy.Extensions.Filters.Listener.TlsInspector.V3.TlsInspectorReflection.Descriptor,
        Envoy.Extensions.Filters.Network.HttpConnectionManager.V3.HttpConnectionManagerReflection.Descriptor,
        Envoy.Extensions.Filters.Network.Rbac.V3.RbacReflection.Descriptor,
        Envoy.Extensions.Filters.Network.TcpProxy.V3.TcpProxyReflection.Descriptor,
        LeastRequestReflection.Descriptor,
        PickFirstReflection.Descriptor,
        RingHashReflection.Descriptor,
        RoundRobinReflection.Descriptor,
        WrrLocalityReflection.Descriptor,
        V1.NamesReflection.Descriptor,
        V1.RangesReflection.Descriptor,
        DiscoveryReflection.Descriptor);

    /// <summary>Writes.</summary>
    public static JsonFormatter Formatter { get; } =
        new(JsonFormatter.Settings.Default.WithTypeRegistry(Types).WithPreserveProtoFieldNames(true));

    /// <summary>Reads; an unknown field is an error.</summary>
    public static JsonParser Parser { get; } = new(JsonParser.Settings.Default.WithTypeRegistry(Types));

    /// <summary>The resource as JSON, or a note in its place when it holds a type this program does not know.</summary>
    public static string Format(IMessage message)
    {
        try
        {
            return Formatter.Format(message);
        }
        catch (InvalidOperationException e)
        {
            // An Any of an unknown type: the formatter cannot write it.
            return new System.Text.Json.Nodes.JsonObject { ["@error"] = e.Message }.ToJsonString();
        }
    }
}
