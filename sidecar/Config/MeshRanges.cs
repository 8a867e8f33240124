using System.Collections.Immutable;
using System.Net;

namespace Mesh.Sidecar.Config;

/// <summary>What a range of the mesh's own addresses holds.</summary>
internal enum RangeKind
{
    /// <summary>Not one of the mesh's addresses.</summary>
    None,

    /// <summary>Addresses the control plane gives to services: nobody else has one.</summary>
    Virtual,

    /// <summary>Cluster addresses of services.</summary>
    Service,

    /// <summary>Instances.</summary>
    Pod,
}

/// <summary>Which addresses are the mesh's own, and what becomes of the others. Immutable.</summary>
/// <param name="Ranges">The ranges, longest first.</param>
/// <param name="RegistryOnly">True refuses destinations that nobody knows.</param>
/// <param name="ControlPlanePorts">Where control planes listen: connections to these are not the mesh's to carry.</param>
internal sealed record MeshRanges(ImmutableArray<MeshRange> Ranges, bool RegistryOnly, ImmutableArray<int> ControlPlanePorts)
{
    /// <summary>No address is the mesh's: what a file says that has no control plane behind it.</summary>
    public static MeshRanges None { get; } = new([], false, []);

    /// <summary>Where the mesh's workloads are, whatever the ranges.</summary>
    public WorkloadAddresses Workloads { get; init; } = WorkloadAddresses.None;

    /// <summary>The part of the workloads' addresses that this resource holds and nothing else; null for the one with the ranges.</summary>
    public WorkloadsPart? Part { get; init; }

    /// <summary>What the resources of the mesh say together; null while the ranges have not come.</summary>
    public static MeshRanges? Of(IEnumerable<MeshRanges> resources)
    {
        var all = resources.ToList();
        return all.Find(one => one.Part is null) is { } ranges ? ranges with { Workloads = new WorkloadAddresses(all.Select(one => one.Part).OfType<WorkloadsPart>()) } : null;
    }

    /// <summary>What the mesh says of an address. That of a workload is one of an instance, whatever its range.</summary>
    public RangeKind KindOf(IPEndPoint endpoint) => KindOf(Destination.Of(endpoint));

    /// <summary>What the mesh says of an address; the port means nothing.</summary>
    public RangeKind KindOf(Destination destination) => RangeOf(destination) is { } range ? range.Kind : Workloads.Contains(destination) ? RangeKind.Pod : RangeKind.None;

    /// <summary>The range an address is in, the longest; null when it is in none.</summary>
    public MeshRange? RangeOf(Destination destination)
    {
        foreach (var range in Ranges)
        {
            if (range.Prefix.Holds(destination)) return range;
        }

        return null;
    }
}

/// <summary>A range of addresses and what it holds. Immutable.</summary>
internal sealed record MeshRange(AddressPrefix Prefix, RangeKind Kind);
