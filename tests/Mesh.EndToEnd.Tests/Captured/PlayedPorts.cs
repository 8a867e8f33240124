using System.Collections.Concurrent;
using System.Net.Sockets;
using Mesh.EndToEnd.Tests.Testbed.Network;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>
/// Ports of a machine that are served all the time (a workload one of whose ports nobody serves is no instance), each by what the test of the moment plays
/// there, else in silence. The machine owns it. Thread safe.
/// </summary>
internal sealed class PlayedPorts : IAsyncDisposable
{
    private readonly ConcurrentDictionary<int, Func<Socket, Task>> players = new();
    private readonly List<Socket> listeners = [];

    public PlayedPorts(NetworkHost host)
    {
        foreach (var (port, _) in All)
        {
            var listener = host.Listen(port);
            listeners.Add(listener);
            _ = AcceptAsync(listener, port);
        }
    }

    /// <summary>The ports, and how a workload says them: two that declare what they are, five that declare nothing.</summary>
    public static IReadOnlyList<(int Port, string Said)> All { get; } =
        [(7000, "7000:tcp:raw"), (7001, "7001::raw-odd"), (2525, "2525::mail"), (9090, "9090::frames"), (8082, "8082:http:socket")];

    /// <summary>Serves a port in this way until the answer is disposed.</summary>
    public IDisposable Play(int port, Func<Socket, Task> serve)
    {
        players[port] = serve;
        return new Played(() => players.TryRemove(port, out _));
    }

    public ValueTask DisposeAsync()
    {
        foreach (var listener in listeners) listener.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task AcceptAsync(Socket listener, int port)
    {
        try
        {
            while (true)
            {
                var socket = await listener.AcceptAsync();
                _ = ServeAsync(socket, players.GetValueOrDefault(port, Wire.EndAsync));
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Closed.
        }
    }

    private static async Task ServeAsync(Socket socket, Func<Socket, Task> serve)
    {
        using (socket)
        {
            try
            {
                await serve(socket);
            }
            catch (Exception e) when (e is SocketException or IOException or ObjectDisposedException or OperationCanceledException or Xunit.Sdk.XunitException)
            {
                // The test sees it at the other end; and connections that only look whether somebody is there end early.
            }
        }
    }

    /// <summary>Ends a play.</summary>
    private sealed class Played(Action end) : IDisposable
    {
        public void Dispose() => end();
    }
}
