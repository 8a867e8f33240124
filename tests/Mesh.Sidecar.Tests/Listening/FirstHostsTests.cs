using System.Net;
using System.Net.Sockets;
using System.Text;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Listening;

/// <summary>What a connection to an unknown destination asks for, on real sockets.</summary>
public sealed class FirstHostsTests : IDisposable
{
    private const string Head = "GET /x HTTP/1.1\r\nAccept: */*\r\nHost: web\r\n\r\n";
    private readonly CancellationTokenSource bound = new(TimeSpan.FromSeconds(20));
    private readonly ManualTimeProvider time = new();
    private readonly Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly Socket server;

    public FirstHostsTests()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        client.Connect(listener.LocalEndPoint!);
        server = listener.Accept();
    }

    public void Dispose()
    {
        client.Dispose();
        server.Dispose();
        bound.Dispose();
    }

    /// <summary>No time passes here: who paused between looks would never see the next byte. Linux 6.9 and later.</summary>
    [SkippableFact]
    public async Task AHeadByteByByteIsSeenWithoutPausesAndStaysWhereItIs()
    {
        Skip.If(Environment.OSVersion.Version < new Version(6, 9), "the kernel cannot say what is new");
        var looking = FirstHosts.LookAsync(server, Bed.Table(Bed.Cluster()), time, bound.Token);
        foreach (var one in Encoding.ASCII.GetBytes(Head))
        {
            await client.SendAsync(new[] { one }, bound.Token);
            await Task.Yield();
        }

        // The host that stands for all others is nobody's.
        Assert.Equal(FirstHost.Foreign, await looking);
        var all = new byte[Head.Length];
        for (var count = 0; count < all.Length;) count += await server.ReceiveAsync(all.AsMemory(count), bound.Token);
        Assert.Equal(Head, Encoding.ASCII.GetString(all));
    }

    [Fact]
    public async Task WhoSaysHalfOfAHeadIsWaitedForTenSecondsAndWhoSaysNothingForEver()
    {
        var looking = FirstHosts.LookAsync(server, null, time, bound.Token);
        time.Advance(TimeSpan.FromHours(1));
        Assert.False(looking.IsCompleted);
        await client.SendAsync("GET / HT"u8.ToArray(), bound.Token);
        await Eventually.PassesAsync(() =>
        {
            time.Advance(TimeSpan.FromSeconds(1));
            Assert.True(looking.IsCompleted);
            return Task.CompletedTask;
        });
        Assert.Equal(FirstHost.None, await looking);
        Assert.Equal(8, await server.ReceiveAsync(new byte[100], bound.Token));
    }

    [Fact]
    public async Task AnEndBeforeTheHostIsNoHost()
    {
        var looking = FirstHosts.LookAsync(server, null, time, bound.Token);
        await client.SendAsync("GET / HTTP/1.1\r\n"u8.ToArray(), bound.Token);
        client.Shutdown(SocketShutdown.Send);
        Assert.Equal(FirstHost.None, await looking);
    }
}
