using Envoy.Config.Core.V3;
using Mesh.ControlPlane.Compilation.Policies;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>Configuration for a sidecar or an Envoy: what its outbound listener, its upstreams and its inbound ports need. Pure; one use, one thread.</summary>
internal sealed class SidecarEmitter
{
    private static readonly Resource PassthroughCluster = Resource.Of(XdsNames.Passthrough, ClusterCompiler.Passthrough());
    private readonly CompiledWorld world;
    private readonly NodeDescription node;
    private readonly List<Resource> listeners = [];
    private readonly List<Resource> clusters = [];
    private readonly List<Resource> routes = [];
    private readonly HashSet<CompiledPort> ports = new(ReferenceEqualityComparer.Instance);
    private readonly List<CompiledService> declared = [];
    private readonly Notices notices = new();

    private SidecarEmitter(CompiledWorld world, NodeDescription node)
    {
        this.world = world;
        this.node = node;
    }

    /// <summary>Compiles for one node; sets equal to <paramref name="last"/>'s are taken from there.</summary>
    public static NodeConfig Compile(CompiledWorld world, NodeDescription node, NodeConfig last) => new SidecarEmitter(world, node).Compile(last);

    private bool IsSecured => node.Identity is not null;

    private bool IsCaptured => node.Capture is { Outbound.IsEmpty: false };

    private Resource ClusterOf(CompiledPort port) => IsSecured ? port.Secured : port.Sidecar;

    private NodeConfig Compile(NodeConfig last)
    {
        AddInbound();
        foreach (var upstream in node.Upstreams) AddUpstream(upstream);
        if (node.Outbound is not null) AddOutbound();

        var everything = node.SeesEverything;
        var named = everything && IsCaptured ? world.CapturedRoutes(node.Namespace) : ResourceSet.Empty;
        var shared = everything ? IsSecured ? world.SecuredClusters : world.Clusters : ResourceSet.Empty;
        var eds = everything ? world.Endpoints : ResourceSet.From(ports.Select(port => port.Endpoints));
        return new NodeConfig
        {
            Clusters = ResourceSet.Merge(shared, ResourceSet.From([.. clusters, .. ports.Select(ClusterOf)]), last.Clusters),
            Endpoints = ResourceSet.Merge(eds, ResourceSet.Empty, last.Endpoints),
            Listeners = ResourceSet.From(listeners, last.Listeners),
            Routes = ResourceSet.Merge(named, ResourceSet.From(routes), last.Routes),
            Secrets = IsSecured ? world.Trust.Secrets : ResourceSet.Empty,
            Revocations = IsSecured ? world.Trust.Revocations : ResourceSet.Empty,
            Names = IsSecured && node.IsMeshSidecar ? Names(last) : ResourceSet.Empty,
            Ranges = IsSecured && node.IsMeshSidecar ? world.Ranges : ResourceSet.Empty,
            Notices = notices.ToImmutable(),
        };
    }

    // A name without a way to get there helps nobody: who declares gets the names of what he declared.
    private ResourceSet Names(NodeConfig last)
    {
        if (node.DiscoverAll) return world.Names(node.Namespace);
        if (!world.World.Virtual.IsKnown) return ResourceSet.Empty;
        var table = NameTables.From([.. declared.OrderBy(service => service.Service.Name).Select(service => service.NameEntry(world.Bare(service, node.Namespace)))], null).Table;
        return ResourceSet.Merge(table, ResourceSet.Empty, last.Names);
    }

    private void AddInbound()
    {
        var inbound = world.Policies.Inbound(node);
        listeners.AddRange(inbound.Listeners);
        clusters.AddRange(inbound.Clusters);
        foreach (var notice in inbound.Notices) notices.Add(notice.Source, notice.Text);
    }

    private void AddUpstream(NodeUpstream upstream)
    {
        var service = world.Resolve(upstream.Service, node.Namespace);
        var port = upstream.Port is { } number ? service?.Service.PortFor(number) : service?.Service.DefaultPort;
        if (service is not null && port is not null)
        {
            Declare(service);
            var table = service.UpstreamRoutes(node.Namespace, port);
            var protocol = upstream.Protocol ?? RouteCompiler.Spoken(service.Service, port, node.Namespace);
            if (protocol != AppProtocol.Tcp) routes.Add(table);
            AddUpstreamListener(upstream, protocol, table.Name, XdsNames.Cluster(service.Service.Name, port.Port), service.Service.Name.Host);
            return;
        }

        // The listener stands all the same: an application that calls too early gets an answer that says why, not a refused connection.
        var name = ServiceHosts.Meanings(upstream.Service, node.Namespace) is [var first, ..] ? first : new ServiceName(node.Namespace, upstream.Service);
        var missing = XdsNames.Cluster(name, upstream.Port ?? 0);
        notices.Add(new Provenance("Node", node.Namespace, node.Id, $"upstream {upstream.Service}"),
            $"upstream {upstream.Service}: " + (service is null ? $"there is no service {name}" : upstream.Port is { } wanted ? $"{name} has no port {wanted}" : $"{name} serves no port"));
        var empty = Resource.Of(XdsNames.UpstreamRoutes(name, upstream.Port ?? 0),
            CompiledService.AnyHost(XdsNames.UpstreamRoutes(name, upstream.Port ?? 0), [RouteCompiler.Missing(missing)]));
        var assumed = upstream.Protocol ?? AppProtocol.Unknown;
        if (assumed != AppProtocol.Tcp) routes.Add(empty);
        AddUpstreamListener(upstream, assumed, empty.Name, missing, name.Host);
    }

    private void AddUpstreamListener(NodeUpstream upstream, AppProtocol protocol, string table, string cluster, string host)
    {
        var name = XdsNames.UpstreamListener(upstream);
        var http = ListenerParts.Http($"upstream_{upstream.Service}", table, host);
        listeners.Add(Resource.Of(name, ListenerParts.Listener(name, upstream.Listen, TrafficDirection.Outbound, protocol, http, cluster)));
    }

    private void AddOutbound()
    {
        var registryOnly = world.World.Network.RegistryOnly;
        var table = node.SeesEverything
            ? world.Routes(node.Namespace)
            : OutboundRoutes.From([.. declared.SelectMany(service => service.VirtualHosts(node.Namespace, world.Bare(service, node.Namespace)))], registryOnly, null);
        foreach (var notice in table.Notices) notices.Add(notice.Source, notice.Text);
        routes.Add(table.Table);
        clusters.Add(registryOnly ? CompiledPolicies.BlackHoleCluster : PassthroughCluster);
        if (IsCaptured) foreach (var address in node.Capture!.Outbound) AddCaptured(new OutboundTerms(address, registryOnly, node.IsEnvoy));
        else
        {
            var http = ListenerParts.Http(XdsNames.Outbound, XdsNames.Outbound, "");
            var unknown = registryOnly ? XdsNames.BlackHole : XdsNames.Passthrough;
            listeners.Add(Resource.Of(XdsNames.Outbound,
                ListenerParts.Listener(XdsNames.Outbound, node.Outbound!, TrafficDirection.Outbound, AppProtocol.Http, http, unknown)));
        }
    }

    private void AddCaptured(OutboundTerms terms)
    {
        var captured = node.SeesEverything ? world.Captured(terms, node.Namespace) : CapturedOutbound.From(terms, [.. declared.Select(service => service.Chains(node.Namespace))], null);
        listeners.Add(captured.Listener);
        foreach (var notice in captured.Notices) notices.Add(notice.Source, notice.Text);
        if (!node.SeesEverything) routes.AddRange(declared.SelectMany(service => service.CapturedRoutes(node.Namespace)));
    }

    private void Declare(CompiledService service)
    {
        if (declared.Contains(service) || node.SeesEverything) return;
        declared.Add(service);
        ports.UnionWith(service.Ports);
        foreach (var backend in service.Backends(node.Namespace))
        {
            if (world.Find(backend.Service) is not { } target) continue;
            ports.UnionWith(target.Ports.Where(port => port.Port.Port == backend.Port));
        }
    }
}
