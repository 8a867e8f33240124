using System.Net;

namespace Mesh.ControlPlane;

/// <summary>Where to listen: an IP address with a port (0 = any free one), or a unix socket. Immutable.</summary>
internal sealed record ListenAddress
{
    private ListenAddress(IPEndPoint? ip, string? socketPath) => (Ip, SocketPath) = (ip, socketPath);

    /// <summary>IP address and port; null for a unix socket.</summary>
    public IPEndPoint? Ip { get; }

    /// <summary>Path of a unix socket; null for IP.</summary>
    public string? SocketPath { get; }

    /// <summary>Only reachable from this machine?</summary>
    public bool IsLocal => Ip is null || IPAddress.IsLoopback(Ip.Address);

    /// <summary>Reads <c>127.0.0.1:15010</c>, <c>[::1]:15010</c>, <c>localhost:15010</c> or <c>unix:/run/mesh.sock</c>.</summary>
    /// <exception cref="FormatException">It is none of these.</exception>
    public static ListenAddress Parse(string text)
    {
        if (text.StartsWith("unix:", StringComparison.Ordinal))
        {
            var path = text["unix:".Length..];
            // The kernel's limit is 108 bytes with the final zero.
            if (path.Length is 0 or > 100 || path[0] != '/')
                throw new FormatException($"'{text}': a unix socket is written unix:/absolute/path, at most 100 characters");
            return new ListenAddress(null, path);
        }

        var ip = text.StartsWith("localhost:", StringComparison.Ordinal) ? "127.0.0.1" + text["localhost".Length..] : text;
        // IPEndPoint takes a bare address too, and then listens on a random port.
        if (ip.LastIndexOf(':') is var colon and > 0 && !ip.EndsWith(']') && int.TryParse(ip[(colon + 1)..], out _) && IPEndPoint.TryParse(ip, out var parsed))
            return new ListenAddress(parsed, null);
        throw new FormatException($"'{text}' is no address to listen on; write IP:PORT or unix:/path");
    }

    /// <inheritdoc/>
    public override string ToString() => SocketPath is null ? Ip!.ToString() : "unix:" + SocketPath;
}
