using System.Collections.Immutable;
using System.Net;
using Google.Protobuf;
using Mesh.Api.V1;
using Mesh.Api.Xds;
using Mesh.ControlPlane.Model;
using static Mesh.Api.V1.MeshRanges.Types;
using Range = Mesh.Api.V1.MeshRanges.Types.Range;

namespace Mesh.ControlPlane.Compilation;

/// <summary>What the operator says of the network, and where the mesh's workloads are -> MeshRanges. Pure.</summary>
internal static class RangesCompiler
{
    private const int V4 = 4;

    /// <summary>The ranges, and the addresses of workloads in parts.</summary>
    public static ResourceSet Compile(World world, ResourceSet? previous) =>
        ResourceSet.From([Compile(world.Network), .. Parts(world.Instances.Values.Where(instance => instance.Meshed))], previous);

    private static IEnumerable<Resource> Parts(IEnumerable<Instance> workloads)
    {
        var parts = new SortedSet<byte[]>?[TypeUrls.WorkloadsParts];
        foreach (var text in workloads.SelectMany(workload => workload.MoreAddresses.Prepend(workload.Address)))
        {
            // On the loopback of a machine many are at one address; a foreign registry may give names.
            if (!IPAddress.TryParse(text, out var address) || IPAddress.IsLoopback(address)) continue;
            var bytes = (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).GetAddressBytes();
            (parts[bytes[^1] % parts.Length] ??= new(ByBytes)).Add(bytes);
        }

        return parts.Select((part, i) => Resource.Of(TypeUrls.WorkloadsName(i), new MeshRanges
        {
            Name = TypeUrls.WorkloadsName(i),
            Workloads4 = Pack(part, isV4: true),
            Workloads6 = Pack(part, isV4: false),
        }));
    }

    private static Comparer<byte[]> ByBytes { get; } = Comparer<byte[]>.Create((one, other) => one.AsSpan().SequenceCompareTo(other));

    private static ByteString Pack(SortedSet<byte[]>? addresses, bool isV4) =>
        ByteString.CopyFrom([.. (addresses ?? []).Where(address => address.Length == V4 == isV4).SelectMany(address => address)]);

    private static Resource Compile(NetworkTerms network)
    {
        var ranges = new MeshRanges { OutboundPolicy = network.RegistryOnly ? OutboundPolicy.RegistryOnly : OutboundPolicy.AllowAny };
        ranges.Ranges.AddRange(Of(network.VirtualRanges, Kind.Virtual));
        ranges.Ranges.AddRange(Of(network.ServiceRanges, Kind.Service));
        ranges.Ranges.AddRange(Of(network.PodRanges, Kind.Pod));
        ranges.ControlPlanePorts.AddRange(network.ControlPlanePorts.Distinct().Order().Select(port => (uint)port));
        return Resource.Of(TypeUrls.RangesName, ranges);
    }

    private static IEnumerable<Range> Of(ImmutableArray<IPNetwork> networks, Kind kind) => networks
        .Select(network => new Range { Address = ByteString.CopyFrom(network.BaseAddress.GetAddressBytes()), Prefix = (uint)network.PrefixLength, Kind = kind })
        .OrderBy(range => range.Address.Length).ThenBy(range => range.Address.ToBase64(), StringComparer.Ordinal).ThenBy(range => range.Prefix);
}
