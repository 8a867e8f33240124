using System.Text.Json.Nodes;
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

    private static readonly string[] Secrets = ["private_key", "session_ticket_keys", "generic_secret"];

    /// <summary>
    /// The resource as JSON for people to read, or a note in its place when it holds a type this program does not know. Keys that stand in it
    /// (in a file of the operator they may, wherever certificates may) are left out.
    /// </summary>
    public static string Format(IMessage message)
    {
        try
        {
            return WithoutSecrets(Formatter.Format(message));
        }
        catch (InvalidOperationException e)
        {
            // An Any of an unknown type: the formatter cannot write it.
            return new JsonObject { ["@error"] = e.Message }.ToJsonString();
        }
    }

    private static string WithoutSecrets(string json)
    {
        if (!Secrets.Any(name => json.Contains(name, StringComparison.Ordinal))) return json;
        var root = JsonNode.Parse(json)!;
        Redact(root);
        return root.ToJsonString();
    }

    private static void Redact(JsonNode? node)
    {
        if (node is JsonArray list)
        {
            foreach (var item in list) Redact(item);
        }
        else if (node is JsonObject fields)
        {
            foreach (var (name, value) in fields.ToList())
            {
                if (Secrets.Contains(name, StringComparer.Ordinal)) fields[name] = Redacted(value);
                else Redact(value);
            }
        }
    }

    /// <summary>The name of a file is no secret, and worth knowing.</summary>
    private static JsonObject Redacted(JsonNode? value) =>
        value is JsonObject source && source["filename"] is { } file ? new() { ["filename"] = file.DeepClone() } : new() { ["inline_string"] = "[redacted]" };
}
