using System.Net.Sockets;
using Mesh.EndToEnd.Tests.Testbed.Network;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>A server on a machine of the lab whose connections the test serves itself. Its port is free again when it is disposed.</summary>
internal sealed class SocketServer : IDisposable
{
    private readonly Socket listener;
    private int connections;

    public SocketServer(NetworkHost host, int port, Func<Socket, Task> serve)
    {
        listener = host.Listen(port);
        _ = AcceptAsync(serve);
    }

    /// <summary>Connections that were ever accepted.</summary>
    public int Connections => Volatile.Read(ref connections);

    public void Dispose() => listener.Dispose();

    private async Task AcceptAsync(Func<Socket, Task> serve)
    {
        try
        {
            while (true)
            {
                var socket = await listener.AcceptAsync();
                Interlocked.Increment(ref connections);
                _ = ServeAsync(socket, serve);
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
            catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException or Xunit.Sdk.XunitException)
            {
                // The test sees it at the other end.
            }
        }
    }
}
