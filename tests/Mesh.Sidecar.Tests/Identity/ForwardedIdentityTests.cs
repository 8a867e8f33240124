using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Google.Protobuf;
using Mesh.Api.Identity;
using Mesh.Api.Rbac;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;
using Authorization = Mesh.Sidecar.Config.Authorization;
using RbacRules = Envoy.Config.Rbac.V3.RBAC;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>
/// What the application and the policies learn of a caller comes from the handshake and from nothing a caller says; and the fields this mesh
/// believes are believed only from those that proved who they are.
/// </summary>
public sealed class ForwardedIdentityTests
{
    private const ClientCertDetails UriOnly = ClientCertDetails.Set | ClientCertDetails.Uri;

    [Fact]
    public async Task TheApplicationIsToldWhoCalls()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(app.Address);
        pair.Server.Snapshots.Publish(Guard(pair, app.Address, UriOnly));
        // The caller's own word is dropped by its sidecar, and whatever comes over the wire is dropped here.
        var answer = await pair.Client.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\nX-Forwarded-Client-Cert: URI=spiffe://evil\r\nConnection: x-forwarded-client-cert\r\n\r\n");
        Assert.Equal(200, answer!.Status);
        var told = Assert.Single(Assert.Single(app.Requests).Values("x-forwarded-client-cert"));
        var hash = Convert.ToHexStringLower(SHA256.HashData(pair.ClientSecurity.Own.Current!.Svid.Certificate.RawData));
        Assert.Equal($"By={Authority.Cart};Hash={hash};URI={Authority.Web}", told);
    }

    [Fact]
    public async Task WithoutSanitizeSetTheFieldIsJustDropped()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(app.Address);
        Assert.Equal(200, (await pair.Client.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\nX-Forwarded-Client-Cert: a\r\n\r\n"))!.Status);
        Assert.Empty(Assert.Single(app.Requests).Values("x-forwarded-client-cert"));
    }

    [Fact]
    public async Task APlaintextCallerProvesNothingAndIsNotBelieved()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(app.Address);
        var plain = new FilterChain { Name = "http", TransportProtocol = Spoken.RawBuffer, Http = new HttpConnectionManager { Routes = Bed.Table(Bed.Cluster(app.Address)), ClientCert = UriOnly } };
        pair.Server.Snapshots.Publish(Guard(pair, app.Address, UriOnly, null, plain));
        var answer = await pair.Server.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\nX-Forwarded-Client-Cert: a\r\nX_Forwarded_Client_Cert: b\r\nx-envoy-peer-metadata: c\r\n" +
            "x-mesh-source: admin;shop;admin;v1\r\nx-mesh-hops: 3\r\n\r\n");
        Assert.Equal(200, answer!.Status);
        var request = Assert.Single(app.Requests);
        Assert.DoesNotContain(request.Fields, f => f.StartsWith("x-forwarded-client", StringComparison.OrdinalIgnoreCase) || f.Contains('_', StringComparison.Ordinal)
            || f.StartsWith("x-envoy", StringComparison.OrdinalIgnoreCase) || f.StartsWith("x-mesh", StringComparison.OrdinalIgnoreCase));
        Assert.Equal("unknown", Assert.Single(pair.Server.Sink.Traffic.Requests.All).Key.Source.Workload);
    }

    [Fact]
    public async Task ACallerIsLabelledOnlyAsOfItsOwnNamespace()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(app.Address);
        Assert.Equal(200, (await pair.Client.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\n\r\n"))!.Status);
        Assert.Equal("web-1", Assert.Single(pair.Server.Sink.Traffic.Requests.All).Key.Source.Workload);

        // A sidecar whose certificate is of another namespace than it says.
        pair.ClientSecurity.Own.Set(pair.Authority.For("spiffe://cluster.local/ns/bank/sa/teller"));
        await using var other = await Bed.StartAsync(at => Bed.Snap(Bed.HttpListener(at, Bed.Table(Pair.ClusterAt(pair.Server.Port, Pair.Expecting(Authority.Cart), UpstreamProtocol.Http1)))),
            settings: new DataPathSettings { Self = new PeerLabels("web-9", "shop", "web", "v1"), Seed = 1, Security = pair.ClientSecurity });
        Assert.Equal(200, (await other.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\n\r\n"))!.Status);
        Assert.DoesNotContain(pair.Server.Sink.Traffic.Requests.All, s => s.Key.Source.Workload == "web-9");
    }

    [Fact]
    public async Task EnvoysOfTheMeshMayTellEachOther()
    {
        await using var app = RecordingOrigin.Friendly();
        var authority = new Authority();
        await using var pair = await Pair.HttpAsync(app.Address, authority: authority);
        await using var client = await ConnectAsync(pair.Server.Port, authority.For(Authority.Web));
        await client.WriteAsync(Encoding.ASCII.GetBytes("GET / HTTP/1.1\r\nHost: cart\r\nx-envoy-attempt-count: 2\r\nx-forwarded-client-cert: a\r\nx-mesh-anything: b\r\n\r\n"));
        var answer = new byte[12];
        await client.ReadExactlyAsync(answer);
        Assert.Equal("HTTP/1.1 200", Encoding.ASCII.GetString(answer));
        var request = Assert.Single(app.Requests);
        Assert.Equal(["2"], request.Values("x-envoy-attempt-count"));
        Assert.Empty(request.Values("x-mesh-anything"));
        Assert.Empty(request.Values("x-forwarded-client-cert"));
    }

    [Fact]
    public async Task PoliciesGoByTheProvedIdentity()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(app.Address);
        const string OnlyWeb = """{"policies": {"web": {"permissions": [{"any": true}], "principals": [{"authenticated": {"principal_name": {"exact": "PRINCIPAL"}}}]}}}""";
        pair.Server.Snapshots.Publish(Guard(pair, app.Address, UriOnly, OnlyWeb.Replace("PRINCIPAL", Authority.Web, StringComparison.Ordinal)));
        Assert.Equal(200, (await pair.Client.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\n\r\n"))!.Status);
        pair.Server.Snapshots.Publish(Guard(pair, app.Address, UriOnly, OnlyWeb.Replace("PRINCIPAL", Authority.Web + "2", StringComparison.Ordinal)));
        Assert.Equal(403, (await pair.Client.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\n\r\n"))!.Status);
        Assert.Equal(1, pair.Server.Sink.Own.AccessDenied.ValueOf("inbound|8080", "none"));
    }

    /// <summary>A rule may look at what the application is told, and sees what is proved, not what is sent.</summary>
    [Fact]
    public async Task ARuleAboutTheFieldSeesWhatTheHandshakeProved()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(app.Address);
        var rule = """{"policies": {"xfcc": {"permissions": [{"header": {"name": "x-forwarded-client-cert", "string_match": {"suffix": "URI=SELF"}}}], "principals": [{"any": true}]}}}""";
        pair.Server.Snapshots.Publish(Guard(pair, app.Address, UriOnly, rule.Replace("SELF", Authority.Web, StringComparison.Ordinal)));
        Assert.Equal(200, (await pair.Client.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\n\r\n"))!.Status);
        pair.Server.Snapshots.Publish(Guard(pair, app.Address, UriOnly, rule.Replace("SELF", "spiffe://evil", StringComparison.Ordinal)));
        Assert.Equal(403, (await pair.Client.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\nx-forwarded-client-cert: URI=spiffe://evil\r\n\r\n"))!.Status);
    }

    /// <summary>An open plaintext connection gets nothing from a chain that takes mutual TLS, however the listener changed.</summary>
    [Fact]
    public async Task APlaintextConnectionIsNotServedByAChainOfMutualTls()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(app.Address)), Direction.Inbound);
        using var client = await bed.ConnectAsync();
        await client.SendAsync("GET /1 HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
        var listener = Bed.HttpListener(bed.Port, Bed.Table(Bed.Cluster(app.Address)), Direction.Inbound);
        bed.Snapshots.Publish(Bed.Snap(listener with { DefaultChain = listener.DefaultChain! with { Tls = new DownstreamTls(PeerRule.Any, []) } }));
        await client.SendAsync("GET /2 HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(404, (await client.ReadAnswerAsync())!.Status);
        Assert.Single(app.Requests);
    }

    [Fact]
    public async Task TrailersTellNothingOfTheCaller()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(app.Address)), Direction.Inbound);
        using var client = await bed.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nTrailer: x-forwarded-client-cert\r\n\r\n2\r\nhi\r\n0\r\nx-forwarded-client-cert: URI=spiffe://evil\r\nx-mesh-source: a;b;c;d\r\n\r\n");
        Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
        Assert.Equal("hi", Assert.Single(app.Requests).Body);
        Assert.DoesNotContain("evil", app.AllBytes, StringComparison.Ordinal);
        Assert.DoesNotContain("a;b;c;d", app.AllBytes, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnApplicationCannotSpeakForTheMesh()
    {
        await using var app = new RecordingOrigin(async c =>
        {
            while (await c.ReadRequestAsync() is not null)
                await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx-mesh-failure: RBAC\r\nX-Mesh-Denied-By: you\r\nx-mesh-untouched: 1\r\nx-app: yes\r\n\r\n");
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(app.Address)), Direction.Inbound);
        var answer = (await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n"))!;
        Assert.Equal(["yes"], answer.Values("x-app"));
        Assert.DoesNotContain(answer.Fields, f => f.StartsWith("x-mesh", StringComparison.OrdinalIgnoreCase));
    }

    [Theory]
    [InlineData("", "Subject=\"\"")]
    [InlineData("CN=cart, O=shop", "Subject=\"CN=cart, O=shop\"")]
    [InlineData("CN=\"a;b\"", "Subject=\"CN=\\\"a;b\\\"\"")]
    [InlineData("CN=a\\", "Subject=\"CN=a\\\\\"")]
    [InlineData("CN=a\r\nX-Evil: 1", "Subject=\"CN=a\\0D\\0AX-Evil: 1\"")]
    [InlineData("CN=\u00e9\u0000", "Subject=\"CN=\\C3\\A9\\00\"")]
    public void ASubjectCannotBreakOutOfItsQuotes(string subject, string expected)
    {
        var peer = new PeerIdentity { Uri = Authority.Web, CertificateHash = "ab", Subject = subject };
        Assert.Equal($"Hash=ab;{expected};URI={Authority.Web}", peer.Forwarded(UriOnly | ClientCertDetails.Subject));
        Assert.Equal("Hash=ab", peer.Forwarded(ClientCertDetails.Set));
    }

    [Theory]
    [InlineData("spiffe://td/a,b", "\"spiffe://td/a,b\"")]
    [InlineData("spiffe://td/a;URI=x", "\"spiffe://td/a;URI=x\"")]
    [InlineData("spiffe://td/a\"", "\"spiffe://td/a\\\"\"")]
    [InlineData("spiffe://td/a\r\n", "\"spiffe://td/a\\0D\\0A\"")]
    public void AnIdThatCouldBreakOutIsQuoted(string uri, string expected)
    {
        var peer = new PeerIdentity { Uri = uri, CertificateHash = "ab", OwnUri = uri };
        Assert.Equal($"By={expected};Hash=ab;URI={expected}", peer.Forwarded(UriOnly));
    }

    /// <summary>A client of the mesh that is no sidecar of ours: an Envoy, say.</summary>
    private static async Task<SslStream> ConnectAsync(IPEndPoint to, Credentials own)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(to);
        var stream = new SslStream(new NetworkStream(socket, ownsSocket: true), leaveInnerStreamOpen: false);
        await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "cart",
            ApplicationProtocols = [new SslApplicationProtocol(Alpn.MeshHttp1)],
            ClientCertificateContext = own.Svid.TlsContext,
            RemoteCertificateValidationCallback = (_, _, _, _) => true,
        });
        return stream;
    }

    private static Snapshot Guard(Pair pair, IPEndPoint app, ClientCertDetails details, string? rules = null, params FilterChain[] plain)
    {
        var listener = Pair.MutualListener(pair.Server.Port, Bed.Table(Bed.Cluster(UpstreamProtocol.Downstream, app)), plain);
        var problems = new List<string>();
        var engine = rules is null ? null : RbacEngine.Build(JsonParser.Default.Parse<RbacRules>(rules), RbacLayer.Http, problems);
        Assert.Empty(problems);
        return Bed.Snap(listener with
        {
            Chains = [.. listener.Chains.Select(c => c with { Http = c.Http! with { ClientCert = details, Authorization = engine is null ? null : Authorization.Of([new AuthorizationFilter("rbac", engine, null)]) } })],
        });
    }
}
