using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>Waiting for something to receive, on real sockets.</summary>
public sealed class SocketTransportTests
{
    private const int Messages = 100_000;

    /// <summary>The kernel's word that bytes came is often heard after they were received. A wait that such a word ends makes its caller wait in a receive, with all it holds.</summary>
    [Fact]
    public async Task WaitingEndsWhenThereIsSomethingAndNeverElse()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using var near = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await near.ConnectAsync(listener.LocalEndPoint!);
        using var transport = new SocketTransport(await listener.AcceptAsync());
        var sending = Task.Run(() => SendAsync(near));
        var buffer = new byte[64 * 1024];
        var (waits, empty) = (0, 0);
        for (var received = 0; received < Messages;)
        {
            await transport.WaitAsync();
            waits++;
            if (transport.Socket.Available == 0) empty++;
            received += await transport.ReceiveAsync(buffer);
        }

        await sending;
        Assert.True(empty == 0, $"{empty} of {waits} waits ended with nothing to receive");
        near.Shutdown(SocketShutdown.Send);
        await transport.WaitAsync();
        Assert.Equal(0, await transport.ReceiveAsync(buffer));
    }

    private static async Task SendAsync(Socket socket)
    {
        var message = new byte[1];
        for (var sent = 0; sent < Messages; sent++)
        {
            await socket.SendAsync(message);
            if (sent % 3 == 0) Thread.SpinWait(sent % 50);
        }
    }
}
