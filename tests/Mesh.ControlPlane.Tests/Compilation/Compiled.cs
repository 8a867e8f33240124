using Envoy.Config.Route.V3;
using Google.Protobuf;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>Short ways to look into compiled configuration.</summary>
internal static class Compiled
{
    public static NodeDescription Node(string service = "client", string ns = "default") => new()
    {
        Id = $"sidecar~127.0.0.1~{service}-1~{ns}",
        Service = service,
        Namespace = ns,
        Outbound = new HostPort("127.0.0.1", 15001),
    };

    public static NodeDescription GrpcNode(string ns = "default") => new() { Id = "grpc", Namespace = ns, Emitter = EmitterKind.Grpc, UserAgent = "gRPC Node Pure JS 1.14" };

    public static NodeConfig For(this World world, NodeDescription node) => CompiledWorld.From(world, null).For(node);

    public static T Get<T>(this ResourceSet set, string name)
        where T : IMessage, new()
    {
        Assert.True(set.TryGet(name, out var resource), $"{name} is not among {string.Join(", ", set.Items.Select(item => item.Name))}");
        return resource.Body.Unpack<T>();
    }

    public static string[] Names(this ResourceSet set) => [.. set.Items.Select(item => item.Name)];

    public static VirtualHost Host(this NodeConfig config, string domain) =>
        Assert.Single(config.Routes.Get<RouteConfiguration>("outbound").VirtualHosts, host => host.Domains.Contains(domain));
}
