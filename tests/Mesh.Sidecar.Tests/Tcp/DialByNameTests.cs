using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Tcp;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Tests.Tcp;

/// <summary>Calls to a host that a request named. Alone: it counts the descriptors of the process.</summary>
[Collection("alone")]
public sealed class DialByNameTests
{
    private const int Calls = 500;

    [Fact]
    public async Task AServerThatEndsEachConnectionAtOnceCostsNoSocket()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        var resetting = ResetAsync(listener);
        var clock = TimeProvider.System;
        var dialer = new Dialer(new Snapshots(), new Security(clock), new OwnPorts(new LocalAddresses(clock), clock), clock, new Randomness(1), new SidecarMetrics());
        var port = ((IPEndPoint)listener.LocalEndPoint!).Port;
        var endpoint = new Endpoint { Host = "localhost", Port = port, Authority = $"localhost:{port}", IsForeign = true, Peer = PeerLabels.Unknown, Stats = new EndpointStats() };
        var before = Descriptors();
        for (var i = 0; i < Calls; i++)
        {
            var dialled = await dialer.ConnectAsync(new Dial(endpoint, null, Carried.Tcp, Direction.Outbound, TimeSpan.FromSeconds(5)), CancellationToken.None);
            Assert.True(dialled.Transport is not null || dialled.Failure == Failure.ConnectFailure, dialled.Detail);
            dialled.Transport?.Dispose();
        }

        Assert.InRange(Descriptors() - before, int.MinValue, Calls / 10);
        listener.Dispose();
        await resetting;
    }

    private static int Descriptors() => Directory.GetFiles("/proc/self/fd").Length;

    private static async Task ResetAsync(Socket listener)
    {
        try
        {
            while (true) Transports.Reset(await listener.AcceptAsync());
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
        }
    }
}
