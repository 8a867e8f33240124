using System.Collections.Immutable;
using System.Net;
using Google.Protobuf;
using Mesh.Api.V1;
using Mesh.Api.Xds;
using Mesh.ControlPlane.Model;
using static Mesh.Api.V1.MeshRanges.Types;
using Range = Mesh.Api.V1.MeshRanges.Types.Range;

namespace Mesh.ControlPlane.Compilation;

/// <summary>What the operator says of the network -> MeshRanges. Pure.</summary>
internal static class RangesCompiler
{
    /// <summary>The one resource of its type.</summary>
    public static ResourceSet Compile(NetworkTerms network, ResourceSet? previous)
    {
        var ranges = new MeshRanges { OutboundPolicy = network.RegistryOnly ? OutboundPolicy.RegistryOnly : OutboundPolicy.AllowAny };
        ranges.Ranges.AddRange(Of(network.VirtualRanges, Kind.Virtual));
        ranges.Ranges.AddRange(Of(network.ServiceRanges, Kind.Service));
        ranges.Ranges.AddRange(Of(network.PodRanges, Kind.Pod));
        ranges.ControlPlanePorts.AddRange(network.ControlPlanePorts.Distinct().Order().Select(port => (uint)port));
        return ResourceSet.From([Resource.Of(TypeUrls.RangesName, ranges)], previous);
    }

    private static IEnumerable<Range> Of(ImmutableArray<IPNetwork> networks, Kind kind) => networks
        .Select(network => new Range { Address = ByteString.CopyFrom(network.BaseAddress.GetAddressBytes()), Prefix = (uint)network.PrefixLength, Kind = kind })
        .OrderBy(range => range.Address.Length).ThenBy(range => range.Address.ToBase64(), StringComparer.Ordinal).ThenBy(range => range.Prefix);
}
