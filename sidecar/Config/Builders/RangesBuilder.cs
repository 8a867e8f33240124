using System.Net;
using Proto = Mesh.Api.V1.MeshRanges;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>MeshRanges: which addresses are the mesh's own. Pure.</summary>
internal static class RangesBuilder
{
    /// <summary>The ranges, longest first. What it holds that this sidecar does not know is refused: it says what may go out in plaintext.</summary>
    public static MeshRanges Build(Proto proto, Field field)
    {
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
