using System.Collections.Immutable;
using System.Net;
using Mesh.Api.V1;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;
using MeshRanges = Mesh.Sidecar.Config.MeshRanges;
using Wire = Mesh.Api.V1.DestinationAnswer.Types.Verdict;

namespace Mesh.Sidecar.Tests.Captured;

/// <summary>Who takes the sidecar for his proxy and names an address of the mesh gets no further than a connection to that address would: not knowing is not permission.</summary>
public sealed class NamedDestinationTests
{
    private const string Answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    private readonly Authority authority = new();
    private readonly List<DestinationQuery> asked = [];
    private DestinationAnswer? answer = new() { Verdict = Wire.NotMeshed };

    [Theory]
    [InlineData("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n")]
    [InlineData("GET http://localhost:{1}/ HTTP/1.1\r\nHost: localhost:{1}\r\n\r\n")]
    [InlineData("GET http://[::ffff:127.0.0.1]:{1}/ HTTP/1.1\r\nHost: x\r\n\r\n")]
    [InlineData("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n")]
    [InlineData("CONNECT localhost:{1} HTTP/1.1\r\nHost: localhost\r\n\r\n")]
    public async Task WithoutAnAnswerNothingGoesThere(string request)
    {
        answer = null;
        await using var origin = RecordingOrigin.Friendly("hello");
        await using var bed = await StartAsync();
        var refused = await bed.AskAsync(string.Format(System.Globalization.CultureInfo.InvariantCulture, request, origin.Address, origin.Address.Port));
        Assert.Equal(502, refused!.Status);
        Assert.Contains("the control plane could not say who is there", refused.Body, StringComparison.Ordinal);
        Assert.Equal("", origin.AllBytes);
        Assert.Equal(1, bed.Sink.Own.CaptureRefused.ValueOf("outbound", "unanswered"));
        // One place has one name, however it is written.
        Assert.Equal(4, Assert.Single(asked).Address.Length);
    }

    [Fact]
    public async Task WhereTheControlPlaneSaysThatNobodyOfTheMeshIsThereItGoesOn()
    {
        await using var origin = RecordingOrigin.Friendly("hello");
        await using var bed = await StartAsync();
        Assert.Equal("hello", (await bed.AskAsync($"GET http://{origin.Address}/ HTTP/1.1\r\nHost: {origin.Address}\r\n\r\n"))!.Body);
        Assert.Equal("hello", (await bed.AskAsync($"GET http://localhost:{origin.Address.Port}/ HTTP/1.1\r\nHost: x\r\n\r\n"))!.Body);
        Assert.Single(asked);
    }

    [Theory]
    [InlineData("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n")]
    [InlineData("GET http://localhost:{1}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")]
    [InlineData("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")]
    public async Task AWorkloadOfTheMeshIsCalledByMutualTlsAndAsNobodyElse(string request)
    {
        await using var app = RecordingOrigin.Friendly("hello");
        var security = new Security(TimeProvider.System);
        security.Own.Set(authority.For(Authority.Cart));
        await using var server = await Bed.StartAsync(
            at => Bed.Snap(Pair.MutualTcpListener(at, Bed.Cluster(app.Address))), settings: new DataPathSettings { Self = new PeerLabels("cart-1", "shop", "cart", "v1"), Seed = 1, Security = security });
        answer = new DestinationAnswer { Verdict = Wire.Meshed, Identities = { Authority.Cart }, Service = "cart.shop.svc.cluster.local", Workload = "cart-1", Namespace = "shop" };
        await using var bed = await StartAsync();
        var text = string.Format(System.Globalization.CultureInfo.InvariantCulture, request, server.Port, server.Port.Port);
        Assert.Contains("hello", await TalkAsync(bed, text), StringComparison.Ordinal);
        Assert.Equal(1, server.Sink.Own.Handshakes.ValueOf("inbound"));

        // Somebody else answers there.
        answer = new DestinationAnswer { Verdict = Wire.Meshed, Identities = { Authority.Web }, Service = "web.shop.svc.cluster.local" };
        var before = app.AllBytes;
        await using var other = await StartAsync();
        Assert.DoesNotContain("hello", await TalkAsync(other, text), StringComparison.Ordinal);
        Assert.Equal(before, app.AllBytes);
    }

    [Theory]
    [InlineData("MESHED", "hello")]
    [InlineData("NOT_MESHED", "")] // plaintext reaches the mutual TLS of the other side, and ends there
    [InlineData("", "the control plane could not say who is there")]
    public async Task AHostThatRulesDeclareIsNoWayAroundEither(string said, string expected)
    {
        await using var app = RecordingOrigin.Friendly("hello");
        var security = new Security(TimeProvider.System);
        security.Own.Set(authority.For(Authority.Cart));
        await using var server = await Bed.StartAsync(
            at => Bed.Snap(Pair.MutualTcpListener(at, Bed.Cluster(app.Address))), settings: new DataPathSettings { Self = new PeerLabels("cart-1", "shop", "cart", "v1"), Seed = 1, Security = security });
        answer = said.Length == 0 ? null : said == "MESHED" ? new DestinationAnswer { Verdict = Wire.Meshed, Identities = { Authority.Cart }, Service = "cart.shop.svc.cluster.local" } : new DestinationAnswer { Verdict = Wire.NotMeshed };
        await using var bed = await StartAsync(External(server.Port.Port));
        var heard = await TalkAsync(bed, "GET / HTTP/1.1\r\nHost: payments.example.com\r\nConnection: close\r\n\r\n");
        Assert.Contains(expected, heard, StringComparison.Ordinal);
        Assert.Equal(said == "MESHED", heard.Contains("hello", StringComparison.Ordinal));
        Assert.Equal(said == "MESHED", app.AllBytes.Length > 0);
    }

    [Fact]
    public void WhatIsOutsideMakesNoAddressTheMeshsOwn()
    {
        var there = Bed.Cluster(new IPEndPoint(IPAddress.Parse("192.0.2.1"), 80)).Endpoints[0];
        var outside = new Endpoint { Host = "192.0.2.2", Port = 80, Authority = "192.0.2.2:80", Address = new IPEndPoint(IPAddress.Parse("192.0.2.2"), 80), IsForeign = true, Peer = PeerLabels.Unknown, Stats = new EndpointStats() };
        var snapshot = new Snapshot { Clusters = [new Cluster { Name = "c", Kind = ClusterKind.Endpoints, Policy = LbPolicy.RoundRobin, Endpoints = [there, outside], Service = new ServiceLabels("c.example.com", "c", "shop", 80), State = new ClusterState() }] };
        Assert.True(new RegisteredAddresses().Has(snapshot, IPAddress.Parse("192.0.2.1")));
        Assert.False(new RegisteredAddresses().Has(snapshot, IPAddress.Parse("192.0.2.2")));
    }

    private static Cluster External(int port) => new()
    {
        Name = "outbound|80||payments.example.com",
        Kind = ClusterKind.Endpoints,
        Policy = LbPolicy.LeastRequest,
        Service = new ServiceLabels("payments.example.com", "payments.example.com", "shop", 80),
        State = new ClusterState(),
        Endpoints = [new Endpoint { Host = "localhost", Port = port, Authority = $"localhost:{port}", IsForeign = true, IsNamed = true, Peer = PeerLabels.Unknown, Stats = new EndpointStats() }],
    };

    private static async Task<string> TalkAsync(Bed bed, string request)
    {
        using var client = await bed.ConnectAsync();
        await client.SendAsync(request);
        if (request.StartsWith("CONNECT", StringComparison.Ordinal)) client.ShutdownSend();
        return await client.ReadToEndAsync();
    }

    private async Task<Bed> StartAsync(Cluster? cluster = null)
    {
        var security = new Security(TimeProvider.System);
        security.Own.Set(authority.For(Authority.Web));
        var loopback = ImmutableArray.Create(
            new MeshRange(AddressPrefix.Of(IPAddress.Parse("127.0.0.0"), 8)!.Value, RangeKind.Pod), new MeshRange(AddressPrefix.Of(IPAddress.IPv6Loopback, 128)!.Value, RangeKind.Pod));
        return await Bed.StartAsync(
            at => new Snapshot { Number = 1, Listeners = [Bed.HttpListener(at, Bed.Table(cluster ?? Passthrough))], Ranges = new MeshRanges(loopback, false, []) },
            settings: new DataPathSettings { Self = new PeerLabels("web-1", "shop", "web", "v1"), Seed = 42, Security = security, AskDestination = AskAsync });
    }

    private async Task<DestinationAnswer> AskAsync(DestinationQuery query, CancellationToken cancel)
    {
        lock (asked) asked.Add(query);
        await Task.Yield();
        return answer ?? throw new System.Security.Authentication.AuthenticationException("the control plane is somebody else");
    }

    private static Cluster Passthrough => new() { Name = "PassthroughCluster", Kind = ClusterKind.Passthrough, Policy = LbPolicy.RoundRobin, Endpoints = [], Service = ServiceLabels.None, State = new ClusterState() };
}
