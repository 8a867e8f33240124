using System.Globalization;

namespace Mesh.Sidecar.Capture;

/// <summary>What this machine, or network namespace, has of what capture needs. Looks each time.</summary>
internal static class CaptureSystem
{
    private const int NetAdmin = 12;

    /// <summary>Whether the kernel has IPv6 and this namespace uses it.</summary>
    public static bool HasIpv6 => File.Exists("/proc/net/if_inet6") && !IsSet("/proc/sys/net/ipv6/conf/all/disable_ipv6");

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
