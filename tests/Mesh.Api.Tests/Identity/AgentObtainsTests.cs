using Istio.V1.Auth;
using Mesh.Api.Grpc;
using Mesh.Api.Identity.Agent;
using Mesh.Tests;

namespace Mesh.Api.Tests.Identity;

/// <summary>The first certificate, over real sockets: by which proof it is had, from whom it is not even asked, and which answers are not believed.</summary>
public sealed class AgentObtainsTests : IAsyncLifetime
{
    private readonly ManualTimeProvider time = new();
    private readonly TemporaryFolder folder = new();
    private SmallAuthority authority = null!;

    public async Task InitializeAsync() => authority = await SmallAuthority.StartAsync(time);

    public async Task DisposeAsync()
    {
        await authority.DisposeAsync();
        folder.Dispose();
    }

    [Fact]
    public async Task A_join_token_gets_the_certificate_it_names()
    {
        var token = authority.Token();
        await using var agent = new RunningAgent(new() { ControlPlane = authority.Address, JoinToken = token }, time);
        var got = await agent.CertifiedAsync();
        Assert.Equal(CertificateForge.Workload, got.Svid.Id.ToString());
        Assert.Equal(authority.Bundle.Fingerprint, got.Bundle.Fingerprint);
        Assert.Equal([authority.Issuer.Certificate], got.Svid.Chain.AsEnumerable());
        var asked = Assert.Single(authority.Requests);
        Assert.Equal("Bearer " + token, asked.Authorization);
        Assert.Null(asked.Certificate);
        Assert.Equal(asked.Key.ExportSubjectPublicKeyInfo(), got.Svid.Certificate.PublicKey.ExportSubjectPublicKeyInfo());
        Assert.True(got.Svid.Certificate.HasPrivateKey);
        Assert.Equal(1, agent.Changes);
        Assert.DoesNotContain(token.Split('.')[2], agent.Lines.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Roots_from_a_file_stand_in_for_the_hash_in_the_token()
    {
        // This control plane carries no roots, as another mesh's authority would not.
        authority.Show(authority.Forge.Leaf(authority.Issuer, "spiffe://cluster.local/ns/mesh-system/sa/control-plane"));
        await File.WriteAllTextAsync(folder["ca.pem"], authority.Root.Pem);
        await using var agent = new RunningAgent(new() { ControlPlane = "https://" + authority.Address, JoinToken = authority.Token(), CaFile = folder["ca.pem"] }, time);
        Assert.Equal(CertificateForge.Workload, (await agent.CertifiedAsync()).Svid.Id.ToString());
    }

    [Fact]
    public async Task A_Kubernetes_token_is_read_for_each_request()
    {
        await File.WriteAllTextAsync(folder["ca.pem"], authority.Root.Pem);
        await File.WriteAllTextAsync(folder["token"], "first.jwt\n");
        authority.Answer = _ => throw new GrpcException(GrpcStatusCode.Unauthenticated, "too old");
        await using var agent = new RunningAgent(new() { ControlPlane = authority.Address, KubeTokenFile = folder["token"], CaFile = folder["ca.pem"] }, time);
        await agent.SaysAsync("too old");
        await File.WriteAllTextAsync(folder["token"], "second.jwt\n");
        authority.Answer = authority.DefaultAnswer;
        await PassAsync(agent, TimeSpan.FromMinutes(1));
        Assert.Equal(CertificateForge.Workload, (await agent.CertifiedAsync()).Svid.Id.ToString());
        Assert.Equal(["Bearer first.jwt", "Bearer second.jwt"], authority.Requests.Select(r => r.Authorization).Distinct());
    }

    public static TheoryData<string, string> Impostors => new()
    {
        { "another mesh", "are not the one the join token names" },
        { "another mesh that carries our root beside its own", "UnknownIssuer" },
        { "another mesh that carries our root alone", "UnknownIssuer" },
        { "a workload of this mesh that carries the roots", "UnexpectedId" },
        { "a control plane of another trust domain under our root", "WrongTrustDomain" },
        { "no roots carried", "0 times" },
        { "expired", "Expired" },
        { "an authority itself", "LeafIsAuthority" },
        { "another namespace's control-plane", "UnexpectedId" },
    };

    [Theory]
    [MemberData(nameof(Impostors))]
    public async Task Whoever_is_not_the_control_plane_is_sent_nothing(string who, string reason)
    {
        var options = new IdentityAgentOptions { ControlPlane = authority.Address, JoinToken = authority.Token() };
        authority.Show(Impostor(who));
        await using var agent = new RunningAgent(options, time);
        await agent.SaysAsync(reason);
        await PassAsync(agent, TimeSpan.FromSeconds(2));
        await Eventually.TrueAsync(() => agent.Lines.Count(reason) > 1);
        Assert.Empty(authority.Requests);
        Assert.Null(agent.Agent.Current);
    }

    [Fact]
    public async Task A_server_of_the_wrong_root_reads_not_one_byte()
    {
        var forge = new CertificateForge(time);
        var theirs = forge.Root("theirs");
        await using var server = new ReadingServer(forge.ControlPlane(forge.Authority(theirs), theirs));
        await using var agent = new RunningAgent(new() { ControlPlane = server.Address, JoinToken = authority.Token() }, time);
        await agent.SaysAsync("are not the one the join token names");
        Assert.Equal(0, await server.BytesOfFirstConnectionAsync());
    }

    [Fact]
    public async Task The_reading_server_reads_what_a_believer_sends()
    {
        await using var server = new ReadingServer(authority.Forge.ControlPlane(authority.Issuer, authority.Root));
        await using var agent = new RunningAgent(new() { ControlPlane = server.Address, JoinToken = authority.Token() }, time);
        Assert.NotEqual(0, await server.BytesOfFirstConnectionAsync());
    }

    [Theory]
    [InlineData(-3600, "NotYetValid", "clocks may differ by 60 s")]
    [InlineData(25 * 3600, "Expired", "the clock here says")]
    public async Task A_wrong_clock_is_said_to_be_one(int seconds, string reason, string words)
    {
        var options = new IdentityAgentOptions { ControlPlane = authority.Address, JoinToken = authority.Token() };
        var wrong = new ManualTimeProvider();
        if (seconds > 0) wrong.Advance(TimeSpan.FromSeconds(seconds));
        else authority.Show(new CertificateForge(Ahead(-seconds)).ControlPlane(authority.Issuer, authority.Root));
        await using var agent = new RunningAgent(options, wrong);
        await agent.SaysAsync(reason);
        await agent.SaysAsync(words);
        Assert.Empty(authority.Requests);
    }

    public static TheoryData<string, string> BadAnswers => new()
    {
        { "no parts", "0 parts" },
        { "a leaf alone", "1 parts" },
        { "no PEM", "no certificate in it" },
        { "empty roots", "no certificate in it" },
        { "roots that are none", "is no root" },
        { "another key", "for another key" },
        { "another identity", "UnexpectedId" },
        { "two identities", "ManyUriSans" },
        { "another trust domain", "WrongTrustDomain" },
        { "expired", "Expired" },
        { "other roots", "UnknownIssuer" },
        { "a missing issuer", "UnknownIssuer" },
        { "an authority", "LeafIsAuthority" },
        { "a private key in the chain", "must hold no key" },
    };

    [Theory]
    [MemberData(nameof(BadAnswers))]
    public async Task A_bad_answer_is_not_believed(string name, string reason)
    {
        authority.Answer = asked => BadAnswer(name, asked);
        await using var agent = new RunningAgent(new() { ControlPlane = authority.Address, JoinToken = authority.Token() }, time);
        await agent.SaysAsync(reason);
        Assert.Null(agent.Agent.Current);
        Assert.Equal(0, agent.Changes);
        authority.Answer = authority.DefaultAnswer;
        await PassAsync(agent, TimeSpan.FromMinutes(1));
        Assert.Equal(CertificateForge.Workload, (await agent.CertifiedAsync()).Svid.Id.ToString());
    }

    public static TheoryData<IdentityAgentOptions, string> BadOptions => new()
    {
        { new() { ControlPlane = "127.0.0.1:1" }, "nothing to prove an identity with" },
        { new() { ControlPlane = "127.0.0.1:1", JoinToken = "mesh1.x" }, "no join token" },
        { new() { ControlPlane = "127.0.0.1:1", KubeTokenFile = "/none" }, "--ca FILE" },
        { new() { ControlPlane = "http://127.0.0.1:1", IdentityDir = "/none" }, "not reached by TLS" },
        { new() { ControlPlane = "unix:/x", IdentityDir = "/none" }, "not reached by TLS" },
        { new() { ControlPlane = "127.0.0.1:1", IdentityDir = "/none", TrustDomain = "A b" }, "names no trust domain" },
        { new() { ControlPlane = "127.0.0.1:1", IdentityDir = "/none", CaFile = "/dev/null" }, "/dev/null: there is no certificate in it" },
    };

    [Theory]
    [MemberData(nameof(BadOptions))]
    public void Options_that_cannot_work_are_refused_at_once(IdentityAgentOptions options, string reason)
    {
        var refused = Assert.Throws<FormatException>(() => new IdentityAgent(options, Mesh.Api.Logging.Log.Silent, time, new Random(1)));
        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
    }

    private Forged Impostor(string who)
    {
        var (forge, root, issuer) = (authority.Forge, authority.Root, authority.Issuer);
        var theirs = forge.Root("theirs");
        var cart = "spiffe://cluster.local/ns/shop/sa/cart";
        return who switch
        {
            "another mesh" => forge.ControlPlane(forge.Authority(theirs), theirs),
            "another mesh that carries our root beside its own" => forge.ControlPlane(forge.Authority(theirs), theirs, root),
            "another mesh that carries our root alone" => forge.ControlPlane(forge.Authority(theirs), root),
            "a workload of this mesh that carries the roots" => forge.Leaf(issuer, cart, r => r.More.Add(CertificateForge.RootsExtension(root.Certificate.RawData))),
            "a control plane of another trust domain under our root" => new CertificateForge(time, "other.local").ControlPlane(issuer, root),
            "no roots carried" => forge.Leaf(issuer, "spiffe://cluster.local/ns/mesh-system/sa/control-plane"),
            "expired" => forge.Leaf(issuer, "spiffe://cluster.local/ns/mesh-system/sa/control-plane", r =>
            {
                r.More.Add(CertificateForge.RootsExtension(root.Certificate.RawData));
                r.NotAfter = r.NotBefore.AddSeconds(30);
            }),
            "an authority itself" => forge.Authority(root, "evil", r => r.More.Add(CertificateForge.RootsExtension(root.Certificate.RawData))),
            _ => forge.Leaf(issuer, "spiffe://cluster.local/ns/mesh-system2/sa/control-plane", r => r.More.Add(CertificateForge.RootsExtension(root.Certificate.RawData))),
        };
    }

    private IstioCertificateResponse BadAnswer(string name, Asked asked)
    {
        var (leaf, issuer, root) = (authority.LeafFor(asked).Pem, authority.Issuer.Pem, authority.Root.Pem);
        return name switch
        {
            "no parts" => SmallAuthority.Chain(),
            "a leaf alone" => SmallAuthority.Chain(leaf),
            "no PEM" => SmallAuthority.Chain("hello", root),
            "empty roots" => SmallAuthority.Chain(leaf, issuer, ""),
            "roots that are none" => SmallAuthority.Chain(leaf, issuer),
            "another key" => SmallAuthority.Chain(authority.Forge.Leaf(authority.Issuer).Pem, issuer, root),
            "another identity" => SmallAuthority.Chain(authority.LeafFor(asked, "spiffe://cluster.local/ns/shop/sa/cart2").Pem, issuer, root),
            "two identities" => SmallAuthority.Chain(authority.LeafFor(asked, spoil: r => r.WithUris(CertificateForge.Workload, "spiffe://cluster.local/ns/a/sa/b")).Pem, issuer, root),
            "another trust domain" => SmallAuthority.Chain(authority.LeafFor(asked, "spiffe://other.local/ns/shop/sa/cart").Pem, issuer, root),
            "expired" => SmallAuthority.Chain(authority.LeafFor(asked, spoil: r => r.NotAfter = r.NotBefore.AddSeconds(1)).Pem, issuer, root),
            "other roots" => SmallAuthority.Chain(leaf, issuer, authority.Forge.Root("other").Pem),
            "a missing issuer" => SmallAuthority.Chain(leaf, root),
            "an authority" => SmallAuthority.Chain(authority.LeafFor(asked, spoil: r => r.Authority = true).Pem, issuer, root),
            _ => SmallAuthority.Chain(leaf, issuer + authority.Issuer.KeyPem, root),
        };
    }

    private static ManualTimeProvider Ahead(int seconds)
    {
        var clock = new ManualTimeProvider();
        clock.Advance(TimeSpan.FromSeconds(seconds));
        return clock;
    }

    /// <summary>Lets time pass once the agent waits.</summary>
    private async Task PassAsync(RunningAgent agent, TimeSpan by)
    {
        await agent.SaysAsync("again-in");
        await Eventually.TrueAsync(() => time.ActiveTimers > 0);
        time.Advance(by);
    }
}
