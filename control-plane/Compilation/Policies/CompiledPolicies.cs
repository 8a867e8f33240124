using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.CompilerServices;
using Envoy.Config.Listener.V3;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>
/// The policies of a world, compiled for each workload that asks and kept for the next world while no policy changes: a change of endpoints
/// costs nothing here. May be used from several threads.
/// </summary>
internal sealed class CompiledPolicies
{
    /// <summary>The cluster where nothing is.</summary>
    public static readonly Resource BlackHoleCluster = Resource.Of(XdsNames.BlackHole, ClusterCompiler.BlackHole());

    private readonly PolicySet policies;
    private readonly string trustDomain;
    private readonly ConcurrentDictionary<string, PortPolicies> ports = new(StringComparer.Ordinal);
    private readonly ConditionalWeakTable<NodeDescription, Inbound> inbound = [];

    private CompiledPolicies(PolicySet policies, string trustDomain) => (this.policies, this.trustDomain) = (policies, trustDomain);

    /// <summary>The policies of a world; <paramref name="previous"/> when they are the same.</summary>
    public static CompiledPolicies From(World world, CompiledPolicies? previous) =>
        previous is not null && ReferenceEquals(previous.policies, world.Policies) && previous.trustDomain == world.Trust.Domain
            ? previous
            : new CompiledPolicies(world.Policies, world.Trust.Domain);

    /// <summary>What holds on a port of a workload. Workloads with the same policies share it.</summary>
    public PortPolicies Of(WorkloadTraits workload, int port, EmitterKind dialect)
    {
        var mine = policies.AuthorizationOf(workload).ToArray();
        var key = string.Create(CultureInfo.InvariantCulture, $"{dialect}:{port}:{string.Join(',', mine.Select(policy => policy.Name))}");
        return ports.GetOrAdd(key, static (_, from) => PortPolicies.Compile(from.mine, from.trustDomain, from.port, from.dialect), (mine, trustDomain, port, dialect));
    }

    /// <summary>How connections to a port of a workload may arrive.</summary>
    public TlsMode ModeOf(WorkloadTraits workload, int port) => policies.ModeOf(workload, port);

    /// <summary>Ports that a policy of a workload says something of, in order.</summary>
    public IEnumerable<int> PortsNamed(WorkloadTraits workload) => policies.PortsNamed(workload);

    /// <summary>Listeners and clusters of the ports of a node's application.</summary>
    public Inbound Inbound(NodeDescription node) => inbound.GetValue(node, Compile);

    private Inbound Compile(NodeDescription node)
    {
        var notices = new Notices();
        Listener[] listeners = node.Capture is { Inbound.IsEmpty: false }
            ? [.. CapturedInbound.Compile(node, this, trustDomain)]
            : [.. node.Ports.Select(port => Compile(node, port, notices))];
        foreach (var port in node.Identity is null && node.Emitter == EmitterKind.Sidecar ? node.Ports : [])
        {
            if (policies.ModeOf(node.Traits, port.Port) == TlsMode.Strict)
                notices.Add(policies.Deciding(node.Traits, port.Port)!.Value.Policy.Source, $"port {port.Port} of node {node.Id} lets nothing through: mutual TLS is STRICT there, and the node has no identity");
        }

        return new Inbound([.. listeners.Select(Packed)], [.. Clusters(node)], notices.ToImmutable());
    }

    private Listener Compile(NodeDescription node, NodePort port, Notices notices)
    {
        var mode = policies.ModeOf(node.Traits, port.Port);
        var rules = Of(node.Traits, port.Port, node.Emitter);
        return node.Emitter == EmitterKind.Grpc
            ? GrpcServerCompiler.Compile(node, port, rules, mode, notices)
            : InboundCompiler.Compile(node, port, rules, mode, trustDomain);
    }

    private static IEnumerable<Resource> Clusters(NodeDescription node)
    {
        if (node.Emitter == EmitterKind.Grpc) yield break;
        foreach (var port in node.Ports) yield return Resource.Of(XdsNames.InboundCluster(port.Port), ClusterCompiler.Inbound(node, port));
        if (node.Capture is not { Inbound.IsEmpty: false }) yield break;
        yield return Resource.Of(XdsNames.InboundPassthrough, ClusterCompiler.InboundPassthrough(node));
        yield return BlackHoleCluster;
    }

    private static Resource Packed(Listener listener) => Resource.Of(listener.Name, listener);
}

/// <summary>What stands before a node's application. Immutable.</summary>
internal sealed record Inbound(ImmutableArray<Resource> Listeners, ImmutableArray<Resource> Clusters, ImmutableArray<Notice> Notices);
