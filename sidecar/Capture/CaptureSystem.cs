using System.Globalization;

namespace Mesh.Sidecar.Capture;

/// <summary>What this machine, or network namespace, has of what capture needs. Looks each time.</summary>
internal static class CaptureSystem
{
    private const int NetAdmin = 12;
    private const string Ipv6Addresses = "/proc/net/if_inet6";

    /// <summary>Whether the kernel has IPv6: then there may be rules of it, whether or not it is in use.</summary>
    public static bool KnowsIpv6 => File.Exists(Ipv6Addresses);

    /// <summary>Whether this namespace uses IPv6: an interface has an address of it, or may get one.</summary>
    public static bool HasIpv6 => KnowsIpv6 && (File.ReadLines(Ipv6Addresses).Any() || !IsSet("/proc/sys/net/ipv6/conf/all/disable_ipv6"));

    /// <summary>Whether this process may change rules of the network.</summary>
    public static bool MayAdminister
    {
        get
        {
            var line = File.ReadLines("/proc/self/status").FirstOrDefault(l => l.StartsWith("CapEff:", StringComparison.Ordinal));
            return line is not null && ulong.TryParse(line.AsSpan("CapEff:".Length).Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var bits)
                && (bits >> NetAdmin & 1) == 1;
        }
    }

    private static bool IsSet(string file)
    {
        try
        {
            return File.ReadAllText(file).Trim() == "1";
        }
        catch (IOException)
        {
            return false;
        }
    }
}
