using System.Net;
using System.Net.Sockets;
using System.Text;
using Mesh.Cli.Running;

namespace Mesh.Cli.Tests.Running;

/// <summary>The way of a captured run to a control plane on the host's loopback.</summary>
public sealed class RelayTests
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task Bytes_and_ends_go_both_ways()
    {
        using var server = Listening();
        using var relay = new Relay("127.0.0.1", (IPEndPoint)server.LocalEndPoint!, "127.0.0.1");
        using var client = await ConnectAsync(relay);
        using var accepted = await server.AcceptAsync().WaitAsync(Bound);
        await client.SendAsync("hello"u8.ToArray());
        client.Shutdown(SocketShutdown.Send);
        Assert.Equal("hello", await ToEndAsync(accepted));
        await accepted.SendAsync("and back"u8.ToArray());
        accepted.Shutdown(SocketShutdown.Send);
        Assert.Equal("and back", await ToEndAsync(client));
    }

    /// <summary>A control plane that was killed: its sidecar must not learn that only when it has something to say.</summary>
    [Fact]
    public async Task A_reset_of_one_side_ends_the_other_at_once()
    {
        using var server = Listening();
        using var relay = new Relay("127.0.0.1", (IPEndPoint)server.LocalEndPoint!, "127.0.0.1");
        using var client = await ConnectAsync(relay);
        using (var accepted = await server.AcceptAsync().WaitAsync(Bound)) accepted.LingerState = new LingerOption(true, 0);
        Assert.Equal("", await ToEndAsync(client));
    }

    [Fact]
    public async Task Nobody_but_the_run_is_served()
    {
        using var server = Listening();
        using var relay = new Relay("127.0.0.1", (IPEndPoint)server.LocalEndPoint!, "127.0.0.2");
        using (var stranger = await ConnectAsync(relay)) Assert.Equal("", await ToEndAsync(stranger));
        using var own = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        own.Bind(new IPEndPoint(IPAddress.Parse("127.0.0.2"), 0));
        await own.ConnectAsync(IPEndPoint.Parse(relay.Address));
        await own.SendAsync("it is me"u8.ToArray());
        own.Shutdown(SocketShutdown.Send);
        using var accepted = await server.AcceptAsync().WaitAsync(Bound);
        Assert.Equal("it is me", await ToEndAsync(accepted));
    }

    private static Socket Listening()
    {
        var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        server.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        server.Listen();
        return server;
    }

    private static async Task<Socket> ConnectAsync(Relay relay)
    {
        var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(IPEndPoint.Parse(relay.Address));
        return client;
    }

    /// <summary>What comes until the end, also where that is a reset.</summary>
    private static async Task<string> ToEndAsync(Socket socket)
    {
        var (text, buffer) = ("", new byte[1024]);
        try
        {
            while (await socket.ReceiveAsync(buffer).WaitAsync(Bound) is > 0 and var count) text += Encoding.ASCII.GetString(buffer, 0, count);
        }
        catch (SocketException)
        {
        }

        return text;
    }
}
