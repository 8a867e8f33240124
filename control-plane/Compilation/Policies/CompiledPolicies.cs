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

    /// <summary>Listeners and clusters of the ports of a node's application.</summary>
    public Inbound Inbound(NodeDescription node) => inbound.GetValue(node, Compile);

    private Inbound Compile(NodeDescription node)
    {
        var notices = new Notices();
        var listeners = ImmutableArray.CreateBuilder<Resource>(node.Ports.Length);
        var traits = node.Traits;
        foreach (var port in node.Ports)
        {
            var mode = policies.ModeOf(traits, port.Port);
            var rules = Of(traits, port.Port, node.Emitter);
            if (node.Emitter == EmitterKind.Grpc) listeners.Add(Packed(GrpcServerCompiler.Compile(node, port, rules, mode, notices)));
            else listeners.Add(Packed(InboundCompiler.Compile(node, port, rules, mode, trustDomain)));
            if (mode == TlsMode.Strict && node.Identity is null && node.Emitter == EmitterKind.Sidecar)
                notices.Add(policies.Deciding(traits, port.Port)!.Value.Policy.Source, $"port {port.Port} of node {node.Id} lets nothing through: mutual TLS is STRICT there, and the node has no identity");
        }

        return new Inbound(
            listeners.MoveToImmutable(),
            node.Emitter == EmitterKind.Grpc ? [] : [.. node.Ports.Select(port => Resource.Of(XdsNames.InboundCluster(port.Port), ClusterCompiler.Inbound(node, port)))],
            notices.ToImmutable());
    }

    private static Resource Packed(Listener listener) => Resource.Of(listener.Name, listener);
}

/// <summary>What stands before a node's application. Immutable.</summary>
internal sealed record Inbound(ImmutableArray<Resource> Listeners, ImmutableArray<Resource> Clusters, ImmutableArray<Notice> Notices);
