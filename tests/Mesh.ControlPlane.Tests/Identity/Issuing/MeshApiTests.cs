using System.Security.Cryptography;
using Mesh.Api.Grpc;
using Mesh.Api.Identity;
using Mesh.Api.Identity.Agent;
using Mesh.Api.Logging;
using Mesh.Api.Operators;
using Mesh.Api.V1;
using Mesh.Api.Workloads;
using Mesh.ControlPlane.Tests.Xds;

namespace Mesh.ControlPlane.Tests.Identity.Issuing;

/// <summary>Certificates and callers, over real sockets: who gets what at the mesh API.</summary>
public sealed class MeshApiTests
{
    private const string Cart = "spiffe://cluster.local/ns/shop/sa/cart";
    private static readonly CancellationToken None = CancellationToken.None;

    [Fact]
    public async Task The_name_in_a_certificate_is_the_callers_whatever_the_request_says()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var client = mesh.Client();
        using var svid = await client.ObtainAsync(await mesh.TokenAsync("ns/shop/sa/cart"), claimed: "spiffe://cluster.local/ns/shop/sa/payments");
        Assert.Equal(Cart, svid.Id.ToString());
        Assert.True(new SvidVerifier(TimeProvider.System).Verify(svid.Certificate, svid.Chain, mesh.Roots).Ok);

        // The same when it is renewed.
        using var again = mesh.Client(svid);
        using var renewed = await again.ObtainAsync(claimed: "spiffe://cluster.local/ns/mesh-system/sa/control-plane");
        Assert.Equal(Cart, renewed.Id.ToString());
        Assert.NotEqual(svid.Certificate.SerialNumber, renewed.Certificate.SerialNumber);
        Assert.Equal(svid.Certificate.SerialNumber[..16], renewed.Certificate.SerialNumber[..16]);
    }

    [Fact]
    public async Task An_agent_with_a_join_token_gets_its_certificate_from_this_control_plane()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        var options = new IdentityAgentOptions { ControlPlane = mesh.MeshApi, JoinToken = await mesh.TokenAsync("ns/shop/sa/cart") };
        using var stop = new CancellationTokenSource();
        var agent = new IdentityAgent(options, Log.Silent, TimeProvider.System, new Random(1));
        var running = agent.RunAsync(stop.Token);
        var credentials = await agent.CertifiedAsync(None).WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(Cart, credentials.Svid.Id.ToString());
        Assert.Equal(mesh.Roots.Fingerprint, credentials.Bundle.Fingerprint);
        await stop.CancelAsync();
        await running;
    }

    [Fact]
    public async Task Of_a_hundred_that_use_a_token_at_once_one_gets_a_certificate()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        await using var other = await mesh.StartAnotherAsync();
        var token = await mesh.TokenAsync("ns/shop/sa/cart");
        using var here = mesh.Client();
        using var there = new MeshApiClient(other.Addresses["meshApi"], mesh.Roots);
        var keys = Enumerable.Range(0, 100).Select(_ => ECDsa.Create(ECCurve.NamedCurves.nistP256)).ToList();
        var requests = keys.ConvertAll(key => Csr.Create(key));

        // Fifty at each: what comes above the rate is refused before the token is looked at.
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 100).Select(async i =>
        {
            try
            {
                await (i % 2 == 0 ? here : there).RequestAsync(requests[i], token);
                return "";
            }
            catch (GrpcException e)
            {
                return e.Status.Message;
            }
        }));
        Assert.Single(outcomes, "");
        Assert.Equal(99, outcomes.Count(o => o.Contains("used already", StringComparison.Ordinal)));

        // Nor after a restart.
        await mesh.RestartAsync();
        using var later = mesh.Client();
        Assert.Contains("used already", (await Assert.ThrowsAsync<GrpcException>(() => later.RequestAsync(requests[outcomes.IndexOf("") == 0 ? 1 : 0], token))).Status.Message);

        // But who won and lost the answer gets it with his key.
        await later.RequestAsync(requests[outcomes.IndexOf("")], token);
        keys.ForEach(key => key.Dispose());
    }

    [Fact]
    public async Task Without_a_certificate_nothing_else_answers()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var client = mesh.Client();
        await using var ads = client.Channel.Open(AdsClient.Method, default, None);
        await AssertUnauthenticatedAsync(async () => await ads.ReadAsync(None));
        await using var register = client.Channel.Open(WorkloadMethods.Register, default, None);
        await AssertUnauthenticatedAsync(async () => await register.ReadAsync(None));
        await using var report = client.Channel.Open(new GrpcMethod<EdgeReport, ReportSummary>("mesh.v1.TelemetryService", "Report", EdgeReport.Parser, ReportSummary.Parser), default, None);
        await AssertUnauthenticatedAsync(async () => await report.ReadAsync(None));
        await using var unknown = client.Channel.Open(new GrpcMethod<EdgeReport, ReportSummary>("mesh.v1.Nothing", "Report", EdgeReport.Parser, ReportSummary.Parser), default, None);
        await AssertUnauthenticatedAsync(async () => await unknown.ReadAsync(None));
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        await AssertUnauthenticatedAsync(() => client.RequestAsync(Csr.Create(key)));
    }

    [Theory]
    [InlineData("mesh1.e30.AAAA", "no join token")]
    [InlineData("", "no join token")]
    [InlineData("eyJhbGciOiJub25lIn0.e30.", "--kube-jwks")]
    public async Task Credentials_that_are_none_are_refused_and_audited(string bearer, string words)
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var client = mesh.Client();
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var e = await Assert.ThrowsAsync<GrpcException>(() => client.RequestAsync(Csr.Create(key), bearer));
        Assert.Equal(GrpcStatusCode.Unauthenticated, e.Code);
        Assert.Contains(words, e.Status.Message);
        Assert.Contains("\"event\":\"refused\"", await File.ReadAllTextAsync(Path.Combine(mesh.Data, "identity", "refused.log")));
    }

    [Fact]
    public async Task A_request_that_cannot_be_granted_uses_up_no_token()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var client = mesh.Client();
        var token = await mesh.TokenAsync("ns/shop/sa/cart");
        foreach (var csr in (string[])["", "garbage", new string('x', 20_000)])
            Assert.Equal(GrpcStatusCode.InvalidArgument, (await Assert.ThrowsAsync<GrpcException>(() => client.RequestAsync(csr, token))).Code);
        using var svid = await client.ObtainAsync(token);
        Assert.Equal(Cart, svid.Id.ToString());
    }

    [Theory]
    [InlineData(0, 24 * 3600)]
    [InlineData(3600, 3600)]
    [InlineData(1, 300)]
    [InlineData(10 * 365 * 24 * 3600, 24 * 3600)]
    public async Task Lives_are_what_the_operator_allows(int asked, int seconds)
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var client = mesh.Client();
        using var svid = await client.ObtainAsync(await mesh.TokenAsync("ns/shop/sa/cart"), life: TimeSpan.FromSeconds(asked));
        Assert.InRange((svid.NotAfter - DateTimeOffset.UtcNow).TotalSeconds, seconds - 30, seconds + 5);
        Assert.InRange((DateTimeOffset.UtcNow - svid.NotBefore).TotalSeconds, 59, 90);
    }

    [Fact]
    public async Task More_than_the_rate_is_refused()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var client = mesh.Client();
        var refused = 0;
        await Task.WhenAll(Enumerable.Range(0, 400).Select(async _ =>
        {
            var e = await Assert.ThrowsAsync<GrpcException>(() => client.RequestAsync("garbage"));
            if (e.Code == GrpcStatusCode.ResourceExhausted) Interlocked.Increment(ref refused);
        }));
        Assert.InRange(refused, 1, 300);
    }

    [Fact]
    public async Task A_flood_of_callers_without_a_certificate_keeps_nobody_from_renewing_and_no_line_out_of_the_audit_log()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var svid = await mesh.JoinAsync("ns/shop/sa/cart");
        using var flood = mesh.Client();
        using var cart = mesh.Client(svid);
        var exhausted = 0;
        await Task.WhenAll(Enumerable.Range(0, 400).Select(async _ =>
        {
            var e = await Assert.ThrowsAsync<GrpcException>(() => flood.RequestAsync("garbage"));
            if (e.Code == GrpcStatusCode.ResourceExhausted) Interlocked.Increment(ref exhausted);
        }));
        Assert.InRange(exhausted, 1, 300);
        using var renewed = await cart.ObtainAsync();
        Assert.Equal(Cart, renewed.Id.ToString());
        var audit = await File.ReadAllTextAsync(Path.Combine(mesh.Data, "identity", "audit.log"));
        Assert.DoesNotContain("refused", audit);
        Assert.Equal(2, audit.Split('\n').Count(line => line.Contains("\"issued\"", StringComparison.Ordinal) && line.Contains(Cart, StringComparison.Ordinal)));
    }

    [Fact]
    public async Task A_certificate_of_another_mesh_is_refused_in_the_handshake()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        await using var other = await IdentityTestbed.StartAsync();
        using var foreign = await other.JoinAsync("ns/shop/sa/cart");
        using var client = mesh.Client(foreign);
        await Assert.ThrowsAsync<GrpcException>(() => client.ObtainAsync());
    }

    [Fact]
    public async Task Revoking_cuts_refuses_lasts_and_can_be_taken_back()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var cart = await mesh.JoinAsync("ns/shop/sa/cart");
        using var web = await mesh.JoinAsync("ns/shop/sa/web");
        using var client = mesh.Client(cart);
        using var bystander = mesh.Client(web);
        await using var stream = client.Channel.Open(WorkloadMethods.Register, default, None);
        await using var kept = bystander.Channel.Open(WorkloadMethods.Register, default, None);
        using (await client.ObtainAsync())
        {
            // The connection is up.
        }

        using (await bystander.ObtainAsync())
        {
            // So is this one.
        }

        await mesh.RevokeAsync("ns/shop/sa/cart");
        await Assert.ThrowsAsync<GrpcException>(() => stream.ReadAsync(None).AsTask().WaitAsync(TimeSpan.FromSeconds(30)));
        using var again = mesh.Client(cart);
        await Assert.ThrowsAsync<GrpcException>(() => again.ObtainAsync());
        using (var token = await OperateTokenAsync(mesh)) Assert.Equal(400, (int)token.StatusCode);

        await mesh.RestartAsync();
        using var later = mesh.Client(cart);
        await Assert.ThrowsAsync<GrpcException>(() => later.ObtainAsync());
        await mesh.RestoreAsync("ns/shop/sa/cart");
        using var restored = mesh.Client(cart);
        using var svid = await restored.ObtainAsync();
        Assert.Equal(Cart, svid.Id.ToString());
    }

    [Fact]
    public async Task Revoking_leaves_others_alone()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var cart = await mesh.JoinAsync("ns/shop/sa/cart");
        using var carts = await mesh.JoinAsync("ns/shop/sa/carts");
        using var client = mesh.Client(carts);
        using var first = await client.ObtainAsync();
        await using var kept = client.Channel.Open(WorkloadMethods.Register, default, None);
        var read = kept.ReadAsync(None).AsTask();
        await mesh.RevokeAsync("ns/shop/sa/cart");
        using var second = await client.ObtainAsync();
        Assert.False(read.IsCompleted);
    }

    [Fact]
    public async Task Nobody_becomes_the_control_plane()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var answer = await mesh.OperateAsync(HttpMethod.Post, OperatorsApi.Tokens, Json(new TokenRequest { Identity = "ns/mesh-system/sa/control-plane" }));
        Assert.Equal(400, (int)answer.StatusCode);
        Assert.Contains("is the control plane", await answer.Content.ReadAsStringAsync());
    }

    [Theory]
    [InlineData("ns/shop", 0, "", "")]
    [InlineData("spiffe://other.domain/ns/shop/sa/cart", 0, "", "")]
    [InlineData("spiffe://cluster.local/cart", 0, "", "")]
    [InlineData("ns/../sa/cart", 0, "", "")]
    [InlineData("ns/shop/sa/cart", -1, "", "")]
    [InlineData("ns/shop/sa/cart", 86401, "", "")]
    [InlineData("ns/shop/sa/cart", 0, "pay/ments", "")]
    [InlineData("ns/shop/sa/cart", 0, "payments.bank", "")]
    [InlineData("ns/shop/sa/cart", 0, "", "not-an-address")]
    public async Task Tokens_that_make_no_sense_are_not_made(string identity, int ttl, string serves, string address)
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        var request = new TokenRequest { Identity = identity, TtlSeconds = ttl, Serves = serves.Length > 0 ? [serves] : [], Addresses = address.Length > 0 ? [address] : [] };
        using var answer = await mesh.OperateAsync(HttpMethod.Post, OperatorsApi.Tokens, Json(request));
        Assert.Equal(400, (int)answer.StatusCode);
    }

    [Fact]
    public async Task What_tokens_grant_is_known_when_they_are_used_and_after_a_restart()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var one = await mesh.JoinAsync("ns/shop/sa/cart", "cart", "basket");
        using var other = await mesh.JoinAsync("ns/shop/sa/cart", "orders");
        for (var i = 0; i < 2; i++)
        {
            using var answer = await mesh.OperateAsync(HttpMethod.Get, OperatorsApi.Identities);
            Assert.Contains("[\"shop/basket\",\"shop/cart\",\"shop/orders\"]", await answer.Content.ReadAsStringAsync());
            await mesh.RestartAsync();
        }
    }

    private static HttpContent Json(TokenRequest request) => System.Net.Http.Json.JsonContent.Create(request, OperatorsJson.Default.TokenRequest);

    private static Task<HttpResponseMessage> OperateTokenAsync(IdentityTestbed mesh) =>
        mesh.OperateAsync(HttpMethod.Post, OperatorsApi.Tokens, Json(new TokenRequest { Identity = "ns/shop/sa/cart" }));

    private static async Task AssertUnauthenticatedAsync(Func<Task> call)
    {
        var e = await Assert.ThrowsAsync<GrpcException>(call);
        Assert.Equal(GrpcStatusCode.Unauthenticated, e.Code);
    }
}
