using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Listening;

namespace Mesh.Sidecar.Tests.Listening;

/// <summary>Ports reserved before there is a configuration.</summary>
public sealed class BoundSocketsTests
{
    private static readonly IPEndPoint Free = new(IPAddress.Loopback, 0);

    [Fact]
    public void A_free_port_is_known_and_who_connects_early_waits()
    {
        using var sockets = new BoundSockets();
        var address = sockets.Bind("outbound", Free);
        Assert.NotEqual(0, address.Port);
        using var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
        client.Connect(address);
        using var taken = sockets.Take("outbound", address);
        using var accepted = taken.Accept();
        Assert.Equal(((IPEndPoint)client.LocalEndPoint!).Port, ((IPEndPoint)accepted.RemoteEndPoint!).Port);
    }

    [Fact]
    public void A_taken_port_is_one_clear_line()
    {
        using var sockets = new BoundSockets();
        var address = sockets.Bind("outbound", Free);
        var e = Assert.Throws<IOException>(() => sockets.Bind("admin", address));
        Assert.Equal($"admin: cannot listen on {address}: the port is taken by another program; choose another, or port 0 for a free one", e.Message);
        sockets.Take("outbound", address).Dispose();
        sockets.Bind("admin", address);
    }

    [Fact]
    public void An_address_nobody_bound_is_bound_when_it_is_taken()
    {
        using var sockets = new BoundSockets();
        using var socket = sockets.Take("listener x", Free);
        Assert.NotEqual(0, ((IPEndPoint)socket.LocalEndPoint!).Port);
    }

    [Fact]
    public void What_nobody_took_is_closed()
    {
        var sockets = new BoundSockets();
        var address = sockets.Bind("outbound", Free);
        sockets.Dispose();
        using var again = new BoundSockets();
        Assert.Equal(address, again.Bind("outbound", address));
    }
}
