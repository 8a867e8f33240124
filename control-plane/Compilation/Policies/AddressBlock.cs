using System.Globalization;
using System.Net;
using Envoy.Config.Core.V3;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>Address blocks of policies, which were checked when they were read -> xDS ranges. Pure.</summary>
internal static class AddressBlock
{
    /// <summary>The range; an address alone is a block of one.</summary>
    public static CidrRange Compile(string text)
    {
        var parts = text.Split('/');
        var address = IPAddress.Parse(parts[0]);
        var length = parts.Length == 2 ? uint.Parse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture) : (uint)(address.GetAddressBytes().Length * 8);
        return new CidrRange { AddressPrefix = address.ToString(), PrefixLen = length };
    }
}
