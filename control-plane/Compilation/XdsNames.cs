using System.Globalization;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>The names of all compiled resources. Pure.</summary>
internal static class XdsNames
{
    /// <summary>Cluster that dials what the request names.</summary>
    public const string Passthrough = "PassthroughCluster";

    /// <summary>Cluster without endpoints: what must not go anywhere.</summary>
    public const string BlackHole = "BlackHoleCluster";

    /// <summary>Cluster of the captured ports that the node did not name: dials what the connection was sent to.</summary>
    public const string InboundPassthrough = "InboundPassthroughCluster";

    /// <summary>Cluster that is never defined for sidecars: the share of invalid backends ends there with 500.</summary>
    public const string InvalidBackend = "mesh-invalid-backend";

    /// <summary>Outbound listener and its route configuration.</summary>
    public const string Outbound = "outbound";

    /// <summary>Cluster (and EDS and gRPC route configuration) of a service port.</summary>
    public static string Cluster(ServiceName service, int port) => string.Create(CultureInfo.InvariantCulture, $"outbound|{port}||{service.Host}");

    /// <summary>Cluster of the application behind the node, by its port.</summary>
    public static string InboundCluster(int port) => string.Create(CultureInfo.InvariantCulture, $"inbound|{port}||");

    /// <summary>Listener in front of a port of the application.</summary>
    public static string InboundListener(int port) => string.Create(CultureInfo.InvariantCulture, $"inbound|{port}");

    /// <summary>Listener of all captured inbound traffic of a family.</summary>
    public static string CapturedInbound(HostPort address) => address.IsV6 ? "inbound6" : "inbound";

    /// <summary>Listener of all captured outbound traffic of a family. That of IPv4 is the one for explicit use, too.</summary>
    public static string CapturedOutbound(HostPort address) => address.IsV6 ? "outbound6" : Outbound;

    /// <summary>Listener that a gRPC server asks for; the template stands in its bootstrap as <c>server_listener_resource_name_template</c>.</summary>
    public static string GrpcServerListener(HostPort listen) => $"grpc/server?xds.resource.listening_address={listen}";

    /// <summary>Listener of an explicit upstream.</summary>
    public static string UpstreamListener(NodeUpstream upstream) => $"upstream|{upstream.Service}|{upstream.Listen}";

    /// <summary>Route configuration of an explicit upstream: every host goes to the one service.</summary>
    public static string UpstreamRoutes(ServiceName service, int port) => string.Create(CultureInfo.InvariantCulture, $"upstream|{port}||{service.Host}");
}
