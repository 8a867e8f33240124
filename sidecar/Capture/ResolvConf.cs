using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Mesh.Api.Identity;

namespace Mesh.Sidecar.Capture;

/// <summary>The DNS servers that programs of this machine ask, as resolv.conf names them. Reads once, keeps nothing.</summary>
internal static class ResolvConf
{
    /// <summary>Servers beyond which a file is not a resolv.conf that anybody wrote; libraries ask three.</summary>
    private const int MostServers = 16;

    private const int MostBytes = 1 << 20;

    /// <summary>Reads the servers, and says what is odd about the file.</summary>
    public static (ImmutableArray<IPAddress> Servers, ImmutableArray<string> Complaints) Read(string file)
    {
        string[] lines;
        try
        {
            // Neither waits at a pipe nor reads a device to its end.
            lines = RegularFiles.ReadText(file, MostBytes).Split('\n');
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return ([], [$"{file} cannot be read ({e.Message}): DNS is not captured"]);
        }

        var (servers, complaints) = (ImmutableArray.CreateBuilder<IPAddress>(), ImmutableArray.CreateBuilder<string>());
        for (var i = 0; i < lines.Length; i++)
        {
            var words = lines[i].Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (words is not ["nameserver", ..]) continue;
            if (words.Length < 2 || !IPAddress.TryParse(words[1], out var server)) complaints.Add($"{file}:{i + 1}: \"{lines[i].Trim()}\" names no address: not captured");
            else if (!server.HasNoScope()) complaints.Add($"{file}:{i + 1}: {server} is an address of one link only: queries to it are not captured");
            else if (servers.Count == MostServers) complaints.Add($"{file}:{i + 1}: more than {MostServers} servers; the rest is not captured");
            else if (!servers.Contains(Asked(server))) servers.Add(Asked(server));
        }

        if (servers.Count == 0)
        {
            complaints.Add($"{file} names no server: programs ask 127.0.0.1 then");
            servers.Add(IPAddress.Loopback);
        }

        return (servers.ToImmutable(), complaints.ToImmutable());
    }

    /// <summary>What the kernel makes of it when it is asked: the unspecified address is this machine's loopback.</summary>
    private static IPAddress Asked(IPAddress server) =>
        server.Equals(IPAddress.Any) ? IPAddress.Loopback
        : server.Equals(IPAddress.IPv6Any) ? IPAddress.IPv6Loopback
        : server.IsIPv4MappedToIPv6 ? server.MapToIPv4() : server;

    /// <summary>True for an address that means the same on every link.</summary>
    internal static bool HasNoScope(this IPAddress address) => address.AddressFamily == AddressFamily.InterNetwork || !address.IsIPv6LinkLocal;
}
