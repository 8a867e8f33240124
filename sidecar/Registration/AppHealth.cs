using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Mesh.Sidecar.Registration;

/// <summary>One look at the application: does it accept, and does its health page answer.</summary>
/// <param name="Passing">True when it does.</param>
/// <param name="Detail">What was seen.</param>
internal readonly record struct AppHealth(bool Passing, string Detail)
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(2);

    /// <summary>Looks at the application's ports, the HTTP page on the first one.</summary>
    public static async Task<AppHealth> LookAsync(IReadOnlyList<IPEndPoint> ports, string? path, TimeProvider time, CancellationToken cancel)
    {
        for (var i = 0; i < ports.Count; i++)
        {
            var health = await LookAsync(ports[i], i == 0 ? path : null, time, cancel);
            if (!health.Passing) return health;
        }

        return new AppHealth(true, "");
    }

    private static async Task<AppHealth> LookAsync(IPEndPoint port, string? path, TimeProvider time, CancellationToken cancel)
    {
        using var timeout = new CancellationTokenSource(Bound, time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancel, timeout.Token);
        using var socket = new Socket(port.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(port, linked.Token);
            return path is null ? new AppHealth(true, "") : await GetAsync(socket, port, path, linked.Token);
        }
        catch (SocketException e)
        {
            return new AppHealth(false, $"the application does not accept on {port}: {e.Message}");
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            return new AppHealth(false, $"the application on {port} did not answer within {Bound.TotalSeconds} s");
        }
    }

    private static async Task<AppHealth> GetAsync(Socket socket, IPEndPoint port, string path, CancellationToken cancel)
    {
        var request = Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: {port}\r\nUser-Agent: mesh-sidecar\r\nConnection: close\r\n\r\n");
        await socket.SendAsync(request, cancel);
        var head = new byte[64];
        var length = 0;
        while (length < 12)
        {
            var read = await socket.ReceiveAsync(head.AsMemory(length), cancel);
            if (read == 0) break;
            length += read;
        }

        // HTTP/1.1 200: the status stands at the tenth character.
        var line = Encoding.ASCII.GetString(head, 0, length).Split('\r')[0];
        var passing = line.StartsWith("HTTP/1.", StringComparison.Ordinal) && line.Length >= 12 && line[9] is '2' or '3';
        return new AppHealth(passing, passing ? "" : $"GET {path} on {port} answered \"{line}\"");
    }
}
