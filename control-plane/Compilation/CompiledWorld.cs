using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using Mesh.ControlPlane.Compilation.Policies;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>
/// A <see cref="World"/> with the pieces that nodes share, compiled once. Made from the previous one, it reuses what did not change:
/// an unchanged resource, and an unchanged set of resources, is the same object. Immutable to its callers; <see cref="For"/> may be
/// called from several threads.
/// </summary>
internal sealed class CompiledWorld
{
    private readonly Dictionary<ServiceName, CompiledService> byName;
    private readonly CompiledPort[] ports;
    private readonly ConcurrentDictionary<string, OutboundRoutes> routes = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, OutboundRoutes> oldRoutes;
    private readonly ConcurrentDictionary<(OutboundTerms Terms, string Client), CapturedOutbound> captured = [];
    private readonly ConcurrentDictionary<(OutboundTerms Terms, string Client), CapturedOutbound> oldCaptured;
    private readonly ConcurrentDictionary<string, ResourceSet> capturedRoutes = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, ResourceSet> oldCapturedRoutes;
    private readonly ConcurrentDictionary<string, NameTables> names = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, NameTables> oldNames;
    private readonly ConcurrentDictionary<(string, bool), NodeConfig> grpc = [];
    private readonly ConcurrentDictionary<(string, bool), NodeConfig> oldGrpc;
    private readonly ConditionalWeakTable<NodeDescription, NodeConfig> lastConfigs;
    private readonly ResourceSet? oldClusters;
    private readonly ResourceSet? oldSecuredClusters;
    private ResourceSet? clusters;
    private ResourceSet? securedClusters;

    private CompiledWorld(World world, CompiledWorld? previous)
    {
        World = world;
        byName = new Dictionary<ServiceName, CompiledService>(world.Services.Count);
        foreach (var (name, service) in world.Services)
            byName.Add(name, CompiledService.From(service, ServiceSecurity.Of(world, name), world.AddressesOf(service), previous?.byName.GetValueOrDefault(name)));
        Services = [.. byName.Values.OrderBy(compiled => compiled.Service.Name)];
        ports = [.. Services.SelectMany(service => service.Ports)];
        Endpoints = ResourceSet.From(ports.Select(port => port.Endpoints), previous?.Endpoints);
        Policies = CompiledPolicies.From(world, previous?.Policies);
        Trust = CompiledTrust.From(world.Trust, previous?.Trust);

        // Only results of the previous world are kept, never the world itself: the chain of worlds must not hold on to its past.
        oldClusters = previous?.clusters ?? previous?.oldClusters;
        oldSecuredClusters = previous?.securedClusters ?? previous?.oldSecuredClusters;
        oldRoutes = previous?.routes ?? routes;
        oldCaptured = previous?.captured ?? captured;
        oldNames = previous?.names ?? names;
        Ranges = previous is not null && previous.World.Network.Equals(world.Network) && ReferenceEquals(previous.World.Instances, world.Instances) ? previous.Ranges : RangesCompiler.Compile(world, previous?.Ranges);
        oldCapturedRoutes = previous?.capturedRoutes ?? capturedRoutes;
        oldGrpc = previous?.grpc ?? grpc;
        lastConfigs = previous?.lastConfigs ?? [];
    }

    /// <summary>What it was compiled from.</summary>
    public World World { get; }

    /// <summary>All services, sorted by name.</summary>
    public ImmutableArray<CompiledService> Services { get; }

    /// <summary>The clusters of all services, for sidecars without an identity.</summary>
    public ResourceSet Clusters => LazyInitializer.EnsureInitialized(ref clusters, () => ResourceSet.From(ports.Select(port => port.Sidecar), oldClusters));

    /// <summary>The same for sidecars that can prove who they are.</summary>
    public ResourceSet SecuredClusters =>
        LazyInitializer.EnsureInitialized(ref securedClusters, () => ResourceSet.From(ports.Select(port => port.Secured), oldSecuredClusters));

    /// <summary>The endpoints of all services.</summary>
    public ResourceSet Endpoints { get; }

    /// <summary>The policies of workloads.</summary>
    public CompiledPolicies Policies { get; }

    /// <summary>Roots and revocations.</summary>
    public CompiledTrust Trust { get; }

    /// <summary>The mesh's own addresses, those of its workloads included.</summary>
    public ResourceSet Ranges { get; }

    /// <summary>Prepares <paramref name="world"/>, taking unchanged pieces from <paramref name="previous"/>.</summary>
    public static CompiledWorld From(World world, CompiledWorld? previous) => new(world, previous);

    /// <summary>What <paramref name="node"/> needs, and nothing else. Sets equal to those this node got before are the same object.</summary>
    public NodeConfig For(NodeDescription node)
    {
        if (node.Emitter == EmitterKind.Grpc)
            return GrpcEmitter.WithServers(this, node, Grpc(node.Namespace, node.HasCertificates));
        lastConfigs.TryGetValue(node, out var last);
        var config = SidecarEmitter.Compile(this, node, last ?? NodeConfig.Empty);
        lastConfigs.AddOrUpdate(node, config);
        return config;
    }

    private NodeConfig Grpc(string client, bool secured) => grpc.GetOrAdd((client, secured), static (key, world) =>
        GrpcEmitter.Compile(world, key.Item1, key.Item2, world.oldGrpc.GetValueOrDefault(key)), this);

    /// <summary>The services a node needs, so that sources watch those.</summary>
    /// <param name="node">The node.</param>
    /// <param name="listeners">Names of listeners it asked for; how gRPC libraries say what they call.</param>
    public Interest Needs(NodeDescription node, IEnumerable<string> listeners) => NodeNeeds.Of(this, node, listeners);

    /// <summary>False while the registry has not been read for a service that the node would be told of.</summary>
    /// <param name="node">The node.</param>
    /// <param name="listeners">Names of listeners it asked for.</param>
    /// <param name="isFirst">It has nothing yet. A node that discovers all then needs all; later what is new to all is no reason to wait.</param>
    public bool IsKnown(NodeDescription node, IEnumerable<string> listeners, bool isFirst) => NodeNeeds.AreKnown(this, node, listeners, isFirst);

    /// <summary>Finds a service.</summary>
    public CompiledService? Find(ServiceName name) => byName.GetValueOrDefault(name);

    /// <summary>The outbound route configuration of nodes that discover every service.</summary>
    public OutboundRoutes Routes(string client) => routes.GetOrAdd(client, static (key, world) =>
        OutboundRoutes.From([.. world.Services.SelectMany(service => service.VirtualHosts(key, world.Bare(service, key)))], world.World.Network.RegistryOnly, world.oldRoutes.GetValueOrDefault(key)), this);

    /// <summary>The captured outbound listener of nodes of a namespace that discover every service: one for all but namespaces whose own routes make it another.</summary>
    public CapturedOutbound Captured(OutboundTerms terms, string client) => captured.GetOrAdd((terms, Services.Any(service => service.HasOwnChains(client)) ? client : ""), static (key, world) =>
        CapturedOutbound.From(key.Terms, [.. world.Services.Select(service => service.Chains(key.Client))], world.oldCaptured.GetValueOrDefault(key)), this);

    /// <summary>The routes its chains name, for clients of a namespace.</summary>
    public ResourceSet CapturedRoutes(string client) => capturedRoutes.GetOrAdd(client, static (key, world) =>
        ResourceSet.From(world.Services.SelectMany(service => service.CapturedRoutes(key)), world.oldCapturedRoutes.GetValueOrDefault(key)), this);

    /// <summary>All names as clients of a namespace use them; nothing while it is not known which addresses were given out: clients keep what they have.</summary>
    public ResourceSet Names(string client) => !World.Virtual.IsKnown ? ResourceSet.Empty : names.GetOrAdd(client, static (key, world) =>
        NameTables.From([.. world.Services.Select(service => service.NameEntry(world.Bare(service, key)))], world.oldNames.GetValueOrDefault(key)), this).Table;

    /// <summary>True when the bare name of a service means it for clients of a namespace.</summary>
    public bool Bare(CompiledService service, string client) => ServiceHosts.BareNameMeans(service.Service.Name, client, byName.ContainsKey);

    /// <summary>The first service that exists among those a host can mean.</summary>
    public CompiledService? Resolve(string host, string client)
    {
        foreach (var name in ServiceHosts.Meanings(host, client))
        {
            if (byName.TryGetValue(name, out var service)) return service;
        }

        return null;
    }
}
