using System.Net;
using Mesh.Api.Xds;
using Proto = Mesh.Api.V1.MeshRanges;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>MeshRanges: which addresses are the mesh's own. Pure.</summary>
internal static class RangesBuilder
{
    /// <summary>The names of the parts with workloads.</summary>
    public static string[] Names { get; } = [.. Enumerable.Range(0, TypeUrls.WorkloadsParts).Select(TypeUrls.WorkloadsName)];

    private const int V4 = 4;
    private const int V6 = 16;

    /// <summary>The ranges, longest first. What it holds that this sidecar does not know is refused: it says what may go out in plaintext.</summary>
    public static MeshRanges Build(Proto proto, Field field)
    {
        if (proto.Name.Length > 0 && proto.Name != TypeUrls.RangesName) return MeshRanges.None with { Part = Workloads(proto, field) };
        var ranges = new List<MeshRange>();
        for (var i = 0; i < proto.Ranges.Count; i++)
        {
            if (Range(proto.Ranges[i], field.At("ranges", i)) is { } range) ranges.Add(range);
        }

        if (proto.OutboundPolicy is not (Proto.Types.OutboundPolicy.Unspecified or Proto.Types.OutboundPolicy.AllowAny or Proto.Types.OutboundPolicy.RegistryOnly))
            field.Error("outbound_policy", $"{(int)proto.OutboundPolicy} is not known");
        for (var i = 0; i < proto.ControlPlanePorts.Count; i++)
        {
            if (proto.ControlPlanePorts[i] is 0 or > 65535) field.At("control_plane_ports", i).Error($"{proto.ControlPlanePorts[i]} is not a port");
        }

        return new MeshRanges(
            [.. ranges.OrderByDescending(r => r.Prefix.Length)],
            proto.OutboundPolicy == Proto.Types.OutboundPolicy.RegistryOnly,
            [.. proto.ControlPlanePorts.Select(p => (int)Math.Min(p, 65535))]);
    }

    private static WorkloadsPart? Workloads(Proto proto, Field field)
    {
        var number = Array.IndexOf(Names, proto.Name);
        if (number < 0) field.Error("name", $"\"{proto.Name}\" is not known");
        Check(proto.Workloads4.Span, V4, Math.Max(0, number), field.At("workloads4"));
        Check(proto.Workloads6.Span, V6, Math.Max(0, number), field.At("workloads6"));
        return new WorkloadsPart(Math.Max(0, number), proto.Workloads4.Memory, proto.Workloads6.Memory);
    }

    // Out of order or in another part they would not be found, and plaintext would go there.
    private static void Check(ReadOnlySpan<byte> packed, int length, int part, Field field)
    {
        if (packed.Length % length != 0) field.Error($"is of {packed.Length} bytes, which are no addresses of {length}");
        for (var at = 0; at + length <= packed.Length; at += length)
        {
            var address = packed.Slice(at, length);
            if (address[^1] % Names.Length != part) field.Error($"{new IPAddress(address)} is none of this part");
            else if (at > 0 && packed.Slice(at - length, length).SequenceCompareTo(address) >= 0) field.Error($"{new IPAddress(address)} is out of order");
            else continue;
            return;
        }
    }

    private static MeshRange? Range(Proto.Types.Range proto, Field field)
    {
        var kind = proto.Kind switch
        {
            Proto.Types.Kind.Virtual => RangeKind.Virtual,
            Proto.Types.Kind.Service => RangeKind.Service,
            Proto.Types.Kind.Pod => RangeKind.Pod,
            _ => RangeKind.None,
        };
        if (kind == RangeKind.None) field.Error("kind", $"{(int)proto.Kind} is not known");
        if (proto.Address.Length is not (4 or 16))
        {
            field.Error("address", $"is of {proto.Address.Length} bytes, not of 4 or 16");
            return null;
        }

        if (AddressPrefix.Of(new IPAddress(proto.Address.Span), proto.Prefix) is { } prefix) return new MeshRange(prefix, kind);
        field.Error("prefix", $"{proto.Prefix} is longer than the address");
        return null;
    }
}
