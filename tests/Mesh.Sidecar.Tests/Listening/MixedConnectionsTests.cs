using System.Net;
using System.Net.Sockets;
using System.Text;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Listening;

/// <summary>HTTP is never taken for bytes, nor bytes for HTTP: many connections of all kinds, cut in all ways.</summary>
public sealed class MixedConnectionsTests
{
    private const int AtOnce = 64;
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(60);
    private static readonly FirstBytes Everything = new(AsksForTls: true, SpeaksHttp: true, PassesBytes: true, TimeSpan.FromSeconds(5));

    /// <summary>100,000 beginnings: told right by the bytes that tell, and by none before.</summary>
    [Fact]
    public void EachBeginningIsToldRightHoweverItIsCut()
    {
        var mixed = new MixedConnections(seed: 6);
        for (var i = 0; i < 100_000; i++)
        {
            var (bytes, expected) = mixed.Next();
            var told = Detected.NeedMore;
            // Each cut may only say "more" or the truth.
            for (var end = mixed.Number(4) == 0 ? 1 : bytes.Length; end <= bytes.Length && told == Detected.NeedMore; end += 1 + mixed.Number(9))
                told = Everything.Look(bytes.AsSpan(0, end)).Detected;
            if (told == Detected.NeedMore) told = Everything.Look(bytes).Detected;
            Assert.True(told == expected, $"connection {i} is {expected}, taken for {told}: {Encoding.Latin1.GetString(bytes)}");
        }
    }

    [Fact]
    public void EachGreetingIsToldRightHoweverItIsCut()
    {
        var mixed = new MixedConnections(seed: 7);
        for (var i = 0; i < 100_000; i++)
        {
            var (bytes, ofHttp) = mixed.NextGreeting();
            var (end, told) = (0, Greeting.NeedMore);
            while (told == Greeting.NeedMore && end < bytes.Length) told = ServerGreeting.Look(bytes.AsSpan(0, ++end));
            Assert.True(told == (ofHttp ? Greeting.OfHttp : Greeting.Other), $"greeting {i} taken for {told} after {end} bytes: {Convert.ToHexString(bytes)}");
            Assert.Equal(told, ServerGreeting.Look(bytes));
        }
    }

    [Fact]
    public Task OverSockets() => RunAsync(3_000);

    [Fact]
    [Trait("Category", "Long")]
    public Task OverSocketsAHundredThousand() => RunAsync(100_000);

    private static async Task RunAsync(int connections)
    {
        await using var web = RecordingOrigin.Friendly("from http");
        using var raw = new Answering(greeting: "");
        using var mail = new Answering(greeting: "220 hello\r\n");
        var greeted = Bed.Nowhere();
        await using var bed = await Bed.StartAsync(at => Bed.Snap(
            Beside(at, Bed.Cluster(web.Address), Bed.Cluster(raw.Address)),
            Beside(greeted, Mail(mail.Address), Mail(mail.Address)) with { Slot = 1, Name = "upstream|mail" }));
        var next = 0;
        await Task.WhenAll(Enumerable.Range(0, AtOnce).Select(worker => Task.Run(async () =>
        {
            var mixed = new MixedConnections(worker);
            while (Interlocked.Increment(ref next) <= connections)
            {
                if (mixed.Number(6) == 0) await WaitForTheServerAsync(greeted);
                else await SpeakAsync(bed.Port, mixed);
            }
        })));
        Assert.Single(bed.Path.Verdicts.All);
        // All clients reset what they had: that gets through to the other side of each.
        await Eventually.TrueAsync(() => bed.Sink.Own.DownstreamOpen.Value == 0 && mail.Open == 0, () => $"{bed.Sink.Own.DownstreamOpen.Value} clients, {mail.Open} at the server");
    }

    private static async Task SpeakAsync(IPEndPoint to, MixedConnections mixed)
    {
        var (bytes, expected) = mixed.Next();
        using var bound = new CancellationTokenSource(Bound);
        using var socket = await ConnectAsync(to, bound.Token);
        if (mixed.Number(8) == 0) await Task.Delay(mixed.Number(60), bound.Token);
        foreach (var piece in mixed.Cut(bytes)) await socket.SendAsync(piece, bound.Token);
        var answer = new byte[64];
        var count = 0;
        while (count < 9)
        {
            var more = await socket.ReceiveAsync(answer.AsMemory(count), bound.Token);
            if (more == 0) break;
            count += more;
        }

        var (first, said) = (answer[3], Encoding.Latin1.GetString(answer, 0, count));
        var right = expected switch
        {
            Detected.Http2 => count >= 9 && first == 4,
            Detected.Http11 or Detected.Http10 => said.StartsWith("HTTP/1.", StringComparison.Ordinal),
            _ => said == "from bytes",
        };
        Assert.True(right, $"{expected} was answered {said}: {Encoding.Latin1.GetString(bytes)}");
    }

    private static async Task WaitForTheServerAsync(IPEndPoint to)
    {
        using var bound = new CancellationTokenSource(Bound);
        using var socket = await ConnectAsync(to, bound.Token);
        var answer = new byte[64];
        var count = await socket.ReceiveAsync(answer, bound.Token);
        Assert.Equal("220 hello\r\n", Encoding.Latin1.GetString(answer, 0, count));
    }

    /// <summary>Closing resets: a hundred thousand ends in TIME_WAIT would be all the ports there are.</summary>
    private static async Task<Socket> ConnectAsync(IPEndPoint to, CancellationToken cancel)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, LingerState = new LingerOption(true, 0) };
        await socket.ConnectAsync(to, cancel);
        return socket;
    }

    private static Listener Beside(IPEndPoint at, Cluster http, Cluster bytes) => Detecting.Listener(at, http) with
    {
        // What is TLS goes on as bytes; that it was recognised shows in how it goes on.
        DefaultChain = new FilterChain { Name = "tcp", Tcp = Bed.TcpTo(bytes) },
    };

    private static Cluster Mail(IPEndPoint address)
    {
        var like = Bed.Cluster(address);
        return new Cluster { Name = "outbound|25||mail.default.svc.cluster.local", Kind = like.Kind, Policy = like.Policy, Endpoints = like.Endpoints, Service = like.Service, State = like.State };
    }

    /// <summary>A server of bytes that keeps nothing: greets, or answers what comes first.</summary>
    private sealed class Answering : IDisposable
    {
        private readonly Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        private readonly byte[] greeting;
        private int open;

        public Answering(string greeting)
        {
            this.greeting = Encoding.Latin1.GetBytes(greeting);
            listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            listener.Listen(1024);
            _ = AcceptAsync();
        }

        public IPEndPoint Address => new(IPAddress.Loopback, ((IPEndPoint)listener.LocalEndPoint!).Port);

        public int Open => Volatile.Read(ref open);

        public void Dispose() => listener.Dispose();

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

        private async Task ServeAsync(Socket socket)
        {
            Interlocked.Increment(ref open);
            using (socket)
            {
                try
                {
                    if (greeting.Length > 0) await socket.SendAsync(greeting);
                    var buffer = new byte[2048];
                    for (var first = true; await socket.ReceiveAsync(buffer) > 0; first = false)
                        if (first && greeting.Length == 0) await socket.SendAsync("from bytes"u8.ToArray());
                }
                catch (SocketException)
                {
                }
                finally
                {
                    Interlocked.Decrement(ref open);
                }
            }
        }
    }
}
