using System.Net;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Listening;

/// <summary>Where a server is not asked before its client has spoken, whatever was learned.</summary>
public sealed class WhereServersMayBeginTests : IAsyncLifetime
{
    private const string Hello = "220 mail.example ESMTP\r\n";
    private static readonly TimeSpan Short = TimeSpan.FromSeconds(4);
    private readonly ManualTimeProvider time = new();
    private readonly Authority authority = new();
    private readonly RecordingOrigin origin = new(async c =>
    {
        await c.SendAsync(Hello);
        await c.ReadToEndAsync();
    });

    private Bed bed = null!;

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        if (bed is not null) await bed.DisposeAsync();
        await origin.DisposeAsync();
    }

    private Cluster App => Bed.Cluster(origin.Address);

    /// <summary>A verdict that was learned before changes nothing where the port has a rule about requests now.</summary>
    [Theory]
    [InlineData("route")]
    [InlineData("timeout")]
    [InlineData("elsewhere")]
    [InlineData("path")]
    [InlineData("header")]
    [InlineData("dry-run")]
    [InlineData("http-only")]
    public async Task AVerdictDoesNotMatterOnceThereIsARuleAboutRequests(string rule)
    {
        await StartAsync(at => Bed.Snap(Detecting.Listener(at, App, Direction.Inbound)));
        await LearnAsync();
        Assert.Single(bed.Path.Verdicts.All);
        bed.Snapshots.Publish(Ruled(rule));
        var before = origin.Connections.Count;
        using var client = await SilentAsync();
        await PassAsync(Short);
        Assert.Equal(before, origin.Connections.Count);
        Assert.Equal(0, client.Socket.Available);
    }

    /// <summary>The rule comes while the server is being heard: its word is not taken any more.</summary>
    [Fact]
    public async Task ARuleThatComesDuringTheRaceHolds()
    {
        var speak = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var slow = new RecordingOrigin(async c =>
        {
            await speak.Task;
            await c.SendAsync(Hello);
            await c.ReadToEndAsync();
        });
        await StartAsync(at => Bed.Snap(Detecting.Listener(at, Bed.Cluster(slow.Address), Direction.Inbound)));
        using var client = await SilentAsync();
        time.Advance(ServerFirst.Headstart);
        await Eventually.TrueAsync(() => slow.Connections.Count == 1);
        bed.Snapshots.Publish(Ruled("http-only"));
        speak.SetResult();
        // The connection is HTTP's now: what is not HTTP is refused, and the server gets none of it.
        await client.SendAsync("EHLO a\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 400", (await client.ReadAnswerAsync())!.Head, StringComparison.Ordinal);
        await Eventually.TrueAsync(() => slow.Connections.All(c => c.Ended));
        Assert.Equal("", slow.AllBytes);
    }

    /// <summary>STRICT: nobody is dialled, nothing is said to who has not proved who he is.</summary>
    [Fact]
    public async Task NotWhereMutualTlsIsAMust()
    {
        await StartAsync(at => Bed.Snap(Pair.MutualTcpListener(at, App) with { InspectsHttp = true, DetectTimeout = Detecting.Patience }));
        using var client = await SilentAsync();
        await PassAsync(TimeSpan.FromSeconds(12));
        Assert.True(await client.EndsWithinAsync(TimeSpan.FromSeconds(5)));
        Assert.Equal("", await client.ReadToEndAsync());
        Assert.Empty(origin.Connections);
    }

    /// <summary>A peer of the mesh whose hello is late is still served by mutual TLS; somebody else is greeted at once.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task AWorkloadOfTheMeshHasFiveSecondsForItsHello(bool isEndpoint)
    {
        var known = isEndpoint ? Bed.Cluster(new IPEndPoint(IPAddress.Loopback, 1)) : Bed.Cluster(new IPEndPoint(IPAddress.Parse("10.0.0.9"), 1));
        await StartAsync(at => new Snapshot { Number = 1, Listeners = [Detecting.Permissive(at, App)], Clusters = [known] });
        using var client = await SilentAsync();
        if (!isEndpoint)
        {
            await PassAsync(TimeSpan.FromMilliseconds(300));
            Assert.Equal(Hello, await client.ReadAsync(Hello.Length));
            return;
        }

        await PassAsync(Short);
        Assert.Empty(origin.Connections);
        Assert.Equal(0, client.Socket.Available);
        await SayHelloAsync(client);
        Assert.Equal(1, bed.Sink.Own.Handshakes.ValueOf("inbound"));
    }

    /// <summary>Whoever has proved an identity once is waited for from then on, in no list or not.</summary>
    [Fact]
    public async Task WhoHasProvedWhoHeIsIsWaitedFor()
    {
        await StartAsync(at => Bed.Snap(Detecting.Permissive(at, App)));
        using (var first = await bed.ConnectAsync()) await SayHelloAsync(first);
        await Eventually.TrueAsync(() => origin.Connections.Count == 1);
        using var client = await SilentAsync();
        await PassAsync(Short);
        Assert.Single(origin.Connections);
        await SayHelloAsync(client);
    }

    /// <summary>A hello in five segments that began is waited for, though the server is there and has spoken.</summary>
    [Fact]
    public async Task AHelloThatHasBegunIsNeverAnsweredInPlaintext()
    {
        await StartAsync(at => Bed.Snap(Detecting.Permissive(at, App)));
        using var client = await SilentAsync();
        await SayHelloAsync(client, pieces: 5, pause: async () =>
        {
            time.Advance(TimeSpan.FromMilliseconds(200));
            await Task.Delay(20);
        });
        Assert.Equal(1, bed.Sink.Own.Handshakes.ValueOf("inbound"));
    }

    /// <summary>The control plane's own way: a port of declared protocol has one chain, and nobody is waited for.</summary>
    [Fact]
    public async Task ADeclaredPortSkipsItAll()
    {
        await StartAsync(at => Bed.Snap(Bed.TcpListener(at, App)));
        using var client = await bed.ConnectAsync();
        Assert.Equal(Hello, await client.ReadAsync(Hello.Length));
        Assert.Empty(bed.Sink.Own.Detections.Members);
        Assert.Empty(bed.Path.Verdicts.All);
    }

    /// <summary>Somebody who speaks HTTP to a server that speaks first, again and again, does not make others wait.</summary>
    [Fact]
    public async Task OnesContradictionIsNotOthersDelay()
    {
        await StartAsync(at => Bed.Snap(Detecting.Listener(at, App, Direction.Inbound)));
        await LearnAsync();
        for (var i = 0; i < 20; i++)
        {
            using var rude = await bed.ConnectAsync();
            await rude.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            using var other = await bed.ConnectAsync();
            Assert.Equal(Hello, await other.ReadAsync(Hello.Length)); // the clock stands still
        }

        Assert.Single(bed.Path.Verdicts.All);
    }

    [Fact]
    public void VerdictsAreBounded()
    {
        var verdicts = new Verdicts(time);
        for (var i = 0; i < 3 * Verdicts.Most; i++)
        {
            verdicts.Learn(new VerdictKey(Direction.Inbound, $"inbound|{i}||", null));
            time.Advance(TimeSpan.FromMilliseconds(1));
        }

        Assert.InRange(verdicts.All.Count, Verdicts.Most / 2, Verdicts.Most);
        Assert.True(verdicts.Has(new VerdictKey(Direction.Inbound, $"inbound|{3 * Verdicts.Most - 1}||", null)));
    }

    private Snapshot Ruled(string rule)
    {
        var plain = Detecting.Listener(bed.Port, App, Direction.Inbound);
        var (http, route) = (plain.Chains[0], Bed.Route(App));
        FilterChain Routed(Route by) => http with { Http = new HttpConnectionManager { Routes = Bed.Table(by) } };
        return rule switch
        {
            "route" => Bed.Snap(plain with { Chains = [http with { Http = new HttpConnectionManager { Routes = Bed.Table(route with { Match = new RouteMatch { Kind = PathMatchKind.Prefix, Path = "/a" } }, route) } }] }),
            "timeout" => Bed.Snap(plain with { Chains = [Routed(route with { Timeout = TimeSpan.FromSeconds(1) })] }),
            "elsewhere" => Bed.Snap(plain with { Chains = [Routed(route with { Clusters = [new WeightedCluster("outbound|80||other.default.svc.cluster.local", App, 1)] })] }),
            "http-only" => Bed.Snap(Bed.HttpListener(bed.Port, Bed.Table(App), Direction.Inbound)),
            "path" => Policy(Guarded.Rules("DENY", Guarded.Policy("ns/p[0]", Guarded.Path("/secret")))),
            "header" => Policy(Guarded.Rules("ALLOW", Guarded.Policy("ns/p[0]", """{"header": {"name": ":method", "string_match": {"exact": "GET"}}}"""))),
            _ => Policy(Guarded.Shadow("DENY", Guarded.Policy("ns/p[0]", Guarded.Path("/secret")))),
        };

        // A configuration that leaves a way for bytes beside a policy about requests, as no control plane of ours writes it.
        Snapshot Policy(string filter) => Guarded.Detecting(bed.Port, origin.Address, [filter], [Guarded.Rules("ALLOW", Guarded.Policy("ns/all[0]", """{"any": true}"""))]);
    }

    private async Task StartAsync(Func<IPEndPoint, Snapshot> snapshot)
    {
        var security = new Security(TimeProvider.System);
        security.Own.Set(authority.For(Authority.Cart));
        bed = await Bed.StartAsync(snapshot, time, new DataPathSettings { Self = new PeerLabels("cart-1", "shop", "cart", "v1"), Seed = 42, Security = security });
    }

    private async Task<RawClient> SilentAsync()
    {
        var timers = time.TimersMade;
        var client = await bed.ConnectAsync();
        await Eventually.TrueAsync(() => time.TimersMade > timers);
        return client;
    }

    private async Task LearnAsync()
    {
        using var client = await bed.ConnectAsync();
        for (var i = 0; i < 200 && bed.Path.Verdicts.All.Count == 0; i++)
        {
            time.Advance(ServerFirst.Headstart);
            await Task.Delay(5);
        }

        Assert.Equal(Hello, await client.ReadAsync(Hello.Length));
    }

    private async Task PassAsync(TimeSpan span)
    {
        for (var passed = TimeSpan.Zero; passed < span; passed += TimeSpan.FromMilliseconds(100))
        {
            time.Advance(TimeSpan.FromMilliseconds(100));
            await Task.Delay(2);
        }
    }

    /// <summary>Mutual TLS from a client that has connected; what it says is cut into pieces.</summary>
    private async Task SayHelloAsync(RawClient client, int pieces = 1, Func<Task>? pause = null)
    {
        var own = authority.For(Authority.Web);
        await using var tls = new System.Net.Security.SslStream(new PiecesStream(client.Socket, pieces, pause), leaveInnerStreamOpen: true);
        await tls.AuthenticateAsClientAsync(new System.Net.Security.SslClientAuthenticationOptions
        {
            TargetHost = "cart",
            ClientCertificateContext = own.Svid.TlsContext,
            RemoteCertificateValidationCallback = (_, _, _, _) => true,
            ApplicationProtocols = [new(Alpn.MeshTcp)],
        });
        var greeting = new byte[Hello.Length];
        await tls.ReadExactlyAsync(greeting);
        Assert.Equal(Hello, System.Text.Encoding.Latin1.GetString(greeting));
    }
}
