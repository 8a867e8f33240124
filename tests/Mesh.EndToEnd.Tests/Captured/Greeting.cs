using System.Net.Sockets;
using Mesh.EndToEnd.Tests.Testbed.Network;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>A server that says its name and who calls as soon as somebody connects, then sends back what it hears. The machine owns it.</summary>
internal sealed class Greeting : IAsyncDisposable
{
    private readonly Socket listener;

    public Greeting(NetworkHost host, int port, string name)
    {
        listener = host.Listen(port);
        _ = AcceptAsync(name);
    }

    public ValueTask DisposeAsync()
    {
        listener.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task AcceptAsync(string name)
    {
        try
        {
            while (true) _ = ServeAsync(await listener.AcceptAsync(), name);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Closed.
        }
    }

    private static async Task ServeAsync(Socket socket, string name)
    {
        using (socket)
        {
            try
            {
                await Wire.SendAsync(socket, $"220 {name} hears {((System.Net.IPEndPoint)socket.RemoteEndPoint!).Address.ToString().Replace("::ffff:", "", StringComparison.Ordinal)}\r\n");
                var buffer = new byte[4096];
                while (await socket.ReceiveAsync(buffer) is > 0 and var count) await socket.SendAsync(buffer.AsMemory(0, count));
            }
            catch (SocketException)
            {
                // Gone: those who look whether somebody is there end early.
            }
        }
    }
}
