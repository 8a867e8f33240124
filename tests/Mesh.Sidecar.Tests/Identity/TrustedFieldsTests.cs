using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>
/// Who may say what: the table of docs/authorization.md. Every header field this mesh trusts is believed only from who proved to be the one that may
/// say it, and is taken away from everybody else's messages.
/// </summary>
public sealed class TrustedFieldsTests
{
    private const string Post = "POST / HTTP/1.1\r\nHost: cart\r\nContent-Length: 5\r\n\r\nhello";

    /// <summary>Field of a request, and who may have it arrive at the application behind: its own application's caller (outbound), a plaintext caller, a proven one.</summary>
    public static TheoryData<string, bool, bool, bool> Requests => new()
    {
        { "x-forwarded-client-cert", false, false, false },
        { "X-Forwarded-Client-Cert", false, false, false },
        { "x_forwarded_client_cert", false, false, false },
        { "x-forwarded_client-cert", false, false, false },
        { "x-mesh-source", false, false, false },
        { "x_mesh_source", false, false, false },
        { "x-mesh-hops", false, false, false },
        { "x-mesh-untouched", false, false, false },
        { "x-mesh-failure", false, false, false },
        { "x-mesh-denied-by", false, false, false },
        { "X-MESH-anything", false, false, false },
        { "x_mesh-anything", false, false, false },
        { "x-envoy-external-address", false, false, true },
        { "x-envoy-peer-metadata", false, false, true },
        { "x-envoy-original-path", false, false, true },
        { "X_Envoy_Internal", false, false, true },
        { "x-forwarded-for", true, true, true },
        { "x-forwarded-host", true, true, true },
        { "x-meshed", true, true, true },
        { "x-custom", true, true, true },
    };

    /// <summary>Field of an answer, and whether the client gets it: from an application (inbound), from an endpoint that proved nothing, from the one expected.</summary>
    public static TheoryData<string, bool, bool, bool> Answers => new()
    {
        { "x-mesh-untouched", false, false, false },
        { "X_Mesh_Untouched", false, false, false },
        { "x-mesh-failure", false, false, true },
        { "x-mesh-denied-by", false, false, true },
        { "x_mesh_failure", false, false, true },
        { "x-mesh-source", false, false, true },
        { "x-mesh-hops", false, false, true },
        { "x-envoy-upstream-service-time", true, true, true },
        { "x-custom", true, true, true },
    };

    [Theory]
    [MemberData(nameof(Requests))]
    public async Task OfARequest(string field, bool outbound, bool plaintext, bool proven)
    {
        await using var app = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(app.Address);
        var plain = new FilterChain { Name = "http", TransportProtocol = Spoken.RawBuffer, Http = new HttpConnectionManager { Routes = Bed.Table(Bed.Cluster(app.Address)) } };
        pair.Server.Snapshots.Publish(Bed.Snap(Pair.MutualListener(pair.Server.Port, Bed.Table(Bed.Cluster(app.Address)), plain)));
        string From(string who) => $"GET /{who} HTTP/1.1\r\nHost: cart\r\n{field}: forged\r\n\r\n";

        Assert.Equal(200, (await pair.Client.AskAsync(From("application")))!.Status);
        Assert.Equal(200, (await pair.Server.AskAsync(From("plaintext")))!.Status);
        await AskProvenAsync(pair, From("proven"));

        bool Seen(string who) => Assert.Single(app.Requests, r => r.Line.Contains(who, StringComparison.Ordinal)).Values(field).Contains("forged");
        Assert.Equal([outbound, plaintext, proven], [Seen("application"), Seen("plaintext"), Seen("proven")]);

        // What an application's own sidecar lets go out reaches a foreign host in the same way.
        await using var foreign = RecordingOrigin.Friendly();
        await using var sidecar = await Bed.HttpAsync(Bed.Table(Bed.Cluster(foreign.Address)));
        Assert.Equal(200, (await sidecar.AskAsync(From("application")))!.Status);
        Assert.Equal(outbound, Assert.Single(foreign.Requests).Values(field).Contains("forged"));
    }

    [Theory]
    [MemberData(nameof(Answers))]
    public async Task OfAnAnswer(string field, bool application, bool unproven, bool proven)
    {
        var authority = new Authority();
        var answer = $"HTTP/1.1 200 OK\r\n{field}: forged\r\nContent-Length: 2\r\n\r\nok";
        await using var plain = RecordingOrigin.Saying(answer);
        await using var cart = ProvenOrigin.Saying(authority, answer);
        await using var inbound = await Bed.HttpAsync(Bed.Table(Bed.Cluster(plain.Address)), Direction.Inbound);
        await using var toPlain = await ProvenOrigin.CallerAsync(authority, (plain.Address, false));
        await using var toCart = await ProvenOrigin.CallerAsync(authority, (cart.Address, true));
        Assert.Equal([application, unproven, proven], [await GotAsync(inbound), await GotAsync(toPlain), await GotAsync(toCart)]);

        async Task<bool> GotAsync(Bed bed)
        {
            var got = await bed.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\n\r\n");
            Assert.Equal(200, got!.Status);
            return got.Values(field).Contains("forged");
        }
    }

    [Fact]
    public async Task APeerWhoseApplicationIsGoneIsLikeARefusedConnection()
    {
        var authority = new Authority();
        var asked = 0;
        await using var peer = ProvenOrigin.Saying(authority, "HTTP/1.1 503 Gone\r\nx-mesh-untouched: 1\r\nContent-Length: 4\r\n\r\ngone", () => Interlocked.Increment(ref asked));
        await using var other = RecordingOrigin.Friendly("ok");
        await using var bed = await ProvenOrigin.CallerAsync(authority, (peer.Address, true), (other.Address, false));
        for (var i = 0; i < 10; i++) Assert.Equal(200, (await bed.AskAsync(Post))!.Status);
        Assert.Equal(10, other.Requests.Count());
        Assert.All(other.Requests, r => Assert.Equal("hello", r.Body));
        Assert.Equal(1, bed.Sink.Own.Ejections.Value);
        Assert.InRange(asked, 1, 2);
    }

    [Fact]
    public async Task AnAnswerThatNobodyIsLeftToRepairIsPassedOnWithoutOurField()
    {
        var authority = new Authority();
        var asked = 0;
        await using var peer = ProvenOrigin.Saying(authority, "HTTP/1.1 503 Gone\r\nx-mesh-untouched: 1\r\nx-mesh-failure: UF\r\nContent-Length: 4\r\n\r\ngone", () => Interlocked.Increment(ref asked));
        await using var bed = await ProvenOrigin.CallerAsync(authority, (peer.Address, true));
        var answer = await bed.AskAsync(Post);
        Assert.Equal((503, "gone"), (answer!.Status, answer.Body));
        Assert.Empty(answer.Values("x-mesh-untouched"));
        Assert.Equal(["UF"], answer.Values("x-mesh-failure"));
        Assert.Equal(3, asked);
    }

    /// <summary>It has the request, and would have it sent again, as often as the policy allows, to others.</summary>
    [Theory]
    [InlineData("x-mesh-untouched")]
    [InlineData("X-Mesh-Untouched")]
    [InlineData("x_mesh_untouched")]
    public async Task WhoProvedNothingCannotHaveARequestSentAgain(string field)
    {
        await using var liar = RecordingOrigin.Saying($"HTTP/1.1 503 Gone\r\n{field}: 1\r\nx-mesh-failure: UF\r\nContent-Length: 4\r\n\r\ngone");
        await using var bed = await ProvenOrigin.CallerAsync(new Authority(), (liar.Address, false));
        var answer = await bed.AskAsync(Post);
        Assert.Equal((503, "gone"), (answer!.Status, answer.Body));
        Assert.DoesNotContain(answer.Fields, f => f.StartsWith("x", StringComparison.OrdinalIgnoreCase) && f.Contains("mesh", StringComparison.OrdinalIgnoreCase));
        Assert.Single(liar.Requests);
        Assert.Equal(0, bed.Sink.Own.Ejections.Value);
    }

    /// <summary>A count of hops can only make the sender's own request end earlier, whatever it says.</summary>
    [Theory]
    [InlineData("-2147483648", 200)]
    [InlineData("x", 200)]
    [InlineData("3", 200)]
    [InlineData("4", 508)]
    [InlineData("2147483647", 508)]
    [InlineData("99999999999999999999", 200)]
    public async Task HopsOnlyCountUp(string said, int status)
    {
        await using var foreign = RecordingOrigin.Friendly();
        var through = new Cluster { Name = "PassthroughCluster", Kind = ClusterKind.Passthrough, Policy = LbPolicy.RoundRobin, Endpoints = [], Service = ServiceLabels.None, State = new ClusterState() };
        await using var bed = await Bed.HttpAsync(Bed.Table(through));
        var answer = await bed.AskAsync($"GET http://{foreign.Address}/ HTTP/1.1\r\nHost: {foreign.Address}\r\nx-mesh-hops: {said}\r\n\r\n");
        Assert.Equal(status, answer!.Status);
        foreach (var request in foreign.Requests) Assert.InRange(int.Parse(Assert.Single(request.Values("x-mesh-hops")), System.Globalization.CultureInfo.InvariantCulture), 1, 4);
    }

    private static async Task AskProvenAsync(Pair pair, string request)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(pair.Server.Port);
        await using var stream = new SslStream(new NetworkStream(socket));
        await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "cart",
            ApplicationProtocols = [new SslApplicationProtocol(Alpn.MeshHttp1)],
            ClientCertificateContext = pair.Authority.For(Authority.Web).Svid.TlsContext,
            RemoteCertificateValidationCallback = (_, _, _, _) => true,
        });
        await stream.WriteAsync(Encoding.ASCII.GetBytes(request));
        var answer = new byte[12];
        await stream.ReadExactlyAsync(answer);
        Assert.Equal("HTTP/1.1 200", Encoding.ASCII.GetString(answer));
    }
}
