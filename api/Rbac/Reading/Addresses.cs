using System.Net;
using Envoy.Config.Core.V3;
using Mesh.Api.Rbac.Conditions;

namespace Mesh.Api.Rbac.Reading;

/// <summary>CidrRange and port ranges to conditions. Pure.</summary>
internal static class Addresses
{
    public static AddressIn? Of(CidrRange proto, bool source, Place place)
    {
        var text = proto.AddressPrefix;
        if (!IPAddress.TryParse(text, out var address) || text.Contains('%', StringComparison.Ordinal))
        {
            place.At("address_prefix").Problem($"\"{text}\" is not an IP address");
            return null;
        }

        var first = IpValue.Of(address);
        if (proto.PrefixLen is { } length && length <= first.Width) return new AddressIn(new IpRange(first, (int)length), source);
        place.At("prefix_len").Problem(proto.PrefixLen is null ? "is missing: it would mean every address" : $"{proto.PrefixLen} is more than {first.Width}");
        return null;
    }

    public static PortIn? OfPort(uint port, Place place)
    {
        if (port <= 65535) return new PortIn((int)port, (int)port + 1);
        place.Problem($"{port} is not a port");
        return null;
    }

    public static PortIn? OfPorts(Envoy.Type.V3.Int32Range proto, Place place)
    {
        if (proto.Start >= 0 && proto.Start < proto.End && proto.End <= 65536) return new PortIn(proto.Start, proto.End);
        place.Problem($"from {proto.Start} up to and without {proto.End} are no ports");
        return null;
    }
}
