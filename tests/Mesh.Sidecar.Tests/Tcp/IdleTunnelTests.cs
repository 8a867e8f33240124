using System.Buffers;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Tests.Testbed;

namespace Mesh.Sidecar.Tests.Tcp;

/// <summary>What a tunnel holds that has carried much and now says nothing: thousands of them are usual (databases, brokers), and buffers are for who speaks.</summary>
[Collection("alone")]
public sealed class IdleTunnelTests
{
    private const int Few = 200;
    private const int Many = 300;
    private static readonly byte[] Burst = new byte[256 * 1024];

    /// <summary>All ends are in this process, so that a tunnel is four sockets, and with mutual TLS two data paths and two TLS streams.</summary>
    [Theory]
    [InlineData(false, 20)]
    [InlineData(true, 50)]
    public async Task AfterABurstAnIdleTunnelHoldsNoLargeBuffer(bool secured, int mostKib)
    {
        await using var echo = new Echo();
        await using var pair = secured ? await Pair.TcpAsync(echo.Address) : null;
        await using var bed = secured ? null : await Bed.StartAsync(at => Bed.Snap(Bed.TcpListener(at, Bed.Cluster(echo.Address))));
        var at = pair?.Client.Port ?? bed!.Port;
        using var tunnels = new Tunnels();
        // The pools are filled by the first ones; what more of them cost is what one holds.
        await tunnels.AddAsync(at, Few);
        var before = GC.GetTotalMemory(forceFullCollection: true);
        await tunnels.AddAsync(at, Many);
        var each = (GC.GetTotalMemory(forceFullCollection: true) - before) / Many / 1024;
        Assert.True(each <= mostKib, $"an idle tunnel holds {each} KiB");
    }

    [Fact]
    public async Task ATunnelByConnectDoesNotKeepWhatCameWithItsHead()
    {
        await using var echo = new Echo();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(echo.Address)));
        using var tunnels = new Tunnels { Head = $"CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\nX-Padding: {new string('x', 30_000)}\r\n\r\n" };
        await tunnels.AddAsync(bed.Port, Few);
        var before = GC.GetTotalMemory(forceFullCollection: true);
        await tunnels.AddAsync(bed.Port, Many);
        var each = (GC.GetTotalMemory(forceFullCollection: true) - before) / Many / 1024;
        Assert.True(each <= 20, $"an idle tunnel holds {each} KiB");
    }

    /// <summary>Clients that have sent and received a burst.</summary>
    private sealed class Tunnels : IDisposable
    {
        private readonly List<Socket> sockets = [];
        private readonly byte[] scrap = new byte[64 * 1024];

        public string Head { get; init; } = "";

        public async Task AddAsync(IPEndPoint at, int count)
        {
            for (var i = 0; i < count; i++)
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                sockets.Add(socket);
                await socket.ConnectAsync(at);
                if (Head.Length > 0) await OpenAsync(socket);
                var sending = socket.SendAsync(Burst);
                for (var received = 0; received < Burst.Length;)
                {
                    var got = await socket.ReceiveAsync(scrap);
                    Assert.NotEqual(0, got);
                    received += got;
                }

                await sending;
            }
        }

        public void Dispose()
        {
            foreach (var socket in sockets) socket.Dispose();
        }

        private async Task OpenAsync(Socket socket)
        {
            await socket.SendAsync(System.Text.Encoding.ASCII.GetBytes(Head));
            var answer = "";
            while (!answer.EndsWith("\r\n\r\n", StringComparison.Ordinal)) answer += System.Text.Encoding.ASCII.GetString(scrap, 0, await socket.ReceiveAsync(scrap));
            Assert.StartsWith("HTTP/1.1 200", answer, StringComparison.Ordinal);
        }
    }

    /// <summary>Sends back what it gets, and holds nothing meanwhile.</summary>
    private sealed class Echo : IAsyncDisposable
    {
        private readonly Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        private readonly Task loop;

        public Echo()
        {
            listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            listener.Listen();
            loop = AcceptAsync();
        }

        public IPEndPoint Address => (IPEndPoint)listener.LocalEndPoint!;

        public async ValueTask DisposeAsync()
        {
            listener.Dispose();
            await loop;
        }

        private async Task AcceptAsync()
        {
            try
            {
                while (true) _ = ServeAsync(await listener.AcceptAsync());
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
            }
        }

        private static async Task ServeAsync(Socket client)
        {
            using var closing = client;
            var peek = new byte[1];
            client.NoDelay = true;
            try
            {
                while (true)
                {
                    await client.ReceiveAsync(peek, SocketFlags.Peek);
                    var buffer = ArrayPool<byte>.Shared.Rent(64 * 1024);
                    var count = await client.ReceiveAsync(buffer);
                    if (count > 0) await client.SendAsync(buffer.AsMemory(0, count));
                    ArrayPool<byte>.Shared.Return(buffer);
                    if (count == 0) return;
                }
            }
            catch (SocketException)
            {
            }
        }
    }
}
