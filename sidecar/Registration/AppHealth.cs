using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Mesh.Sidecar.Registration;

/// <summary>One look at a port of the application, or at its health page: is it there.</summary>
/// <param name="Passing">True when it is.</param>
/// <param name="Detail">What was seen when it is not.</param>
internal readonly record struct AppHealth(bool Passing, string Detail);

/// <summary>One look at the application: which of its ports accept, and does its health page answer. Immutable.</summary>
/// <param name="Ports">The ports in their order; null for one that was not looked at.</param>
/// <param name="Page">The page; null when there is none or it was not looked at.</param>
internal sealed record AppLook(ImmutableArray<AppHealth?> Ports, AppHealth? Page)
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(2);

    /// <summary>Looks at those of the application's ports that <paramref name="wanted"/> names, all at once, and at the HTTP page on the first one.</summary>
    public static async Task<AppLook> TakeAsync(IReadOnlyList<IPEndPoint> ports, string? path, Func<int, bool> wanted, TimeProvider time, CancellationToken cancel)
    {
        var looks = await Task.WhenAll(Enumerable.Range(0, ports.Count).Where(wanted).Select(async i => (Index: i, Seen: await LookAsync(ports[i], i == 0 ? path : null, time, cancel))));
        var all = new AppHealth?[ports.Count];
        AppHealth? page = null;
        foreach (var (index, seen) in looks) (all[index], page) = (seen.Port, index == 0 && path is not null ? seen.Page : page);
        return new AppLook([.. all], page);
    }

    private static async Task<(AppHealth Port, AppHealth Page)> LookAsync(IPEndPoint port, string? path, TimeProvider time, CancellationToken cancel)
    {
        using var timeout = new CancellationTokenSource(Bound, time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancel, timeout.Token);
        using var socket = new Socket(port.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        var accepted = new AppHealth(true, "");
        try
        {
            await socket.ConnectAsync(port, linked.Token);
            return (accepted, path is null ? accepted : await GetAsync(socket, port, path, linked.Token));
        }
        catch (SocketException e)
        {
            var broken = socket.Connected;
            var bad = new AppHealth(false, broken ? $"GET {path} on {port} failed: {e.Message}" : $"the application does not accept on {port}: {e.Message}");
            return (broken ? accepted : bad, bad);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            var late = new AppHealth(false, $"the application on {port} did not answer within {Bound.TotalSeconds} s");
            return (socket.Connected ? accepted : late, late);
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
