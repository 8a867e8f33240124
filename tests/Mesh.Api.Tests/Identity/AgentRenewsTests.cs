using Mesh.Api.Grpc;
using Mesh.Api.Identity;
using Mesh.Api.Identity.Agent;
using Mesh.Tests;

namespace Mesh.Api.Tests.Identity;

/// <summary>What keeps a workload certified: renewal in time, patience while nobody answers, and roots that change.</summary>
public sealed class AgentRenewsTests : IAsyncLifetime
{
    private readonly ManualTimeProvider time = new();
    private SmallAuthority authority = null!;

    public async Task InitializeAsync() => authority = await SmallAuthority.StartAsync(time);

    public async Task DisposeAsync() => await authority.DisposeAsync();

    [Fact]
    public async Task At_about_half_its_life_the_certificate_renews_itself_and_no_token_is_shown()
    {
        await using var agent = Start();
        var first = await agent.CertifiedAsync();
        await PassAsync(TimeSpan.FromHours(9.5));
        Assert.Single(authority.Requests);
        await PassAsync(TimeSpan.FromHours(5));
        await Eventually.TrueAsync(() => agent.Changes == 2);
        var second = agent.Agent.Current!;
        Assert.NotEqual(first.Svid.Certificate.SerialNumber, second.Svid.Certificate.SerialNumber);
        Assert.NotEqual(first.Svid.Certificate.PublicKey.ExportSubjectPublicKeyInfo(), second.Svid.Certificate.PublicKey.ExportSubjectPublicKeyInfo());
        var asked = authority.Requests.Last();
        Assert.Equal("", asked.Authorization);
        Assert.Equal(first.Svid.Certificate.SerialNumber, asked.Certificate!.SerialNumber);
        // New connections show the newest.
        Assert.Equal(second.Svid.Certificate.SerialNumber, agent.Agent.ControlPlaneTls().ClientCertificateContext!.TargetCertificate.SerialNumber);
    }

    [Fact]
    public void A_fleet_renews_spread_over_a_fifth_of_the_lifetime()
    {
        var root = authority.Root;
        var leaf = authority.Forge.Leaf(root);
        using var svid = Svid.Create(leaf.Certificate, [], leaf.Key);
        var random = new Random(1);
        var life = svid.NotAfter - svid.NotBefore;
        var parts = Enumerable.Range(0, 1000).Select(_ => (svid.RenewAt(random) - svid.NotBefore) / life).ToList();
        Assert.All(parts, p => Assert.InRange(p, 0.4, 0.6));
        Assert.InRange(parts.Max() - parts.Min(), 0.19, 0.2);
        Assert.InRange(parts.Average(), 0.49, 0.51);
    }

    [Fact]
    public void Pauses_between_tries_double_to_a_minute_and_are_never_in_step()
    {
        var schedule = new RenewalSchedule(time, new Random(1));
        Assert.Equal(TimeSpan.Zero, schedule.Pause);
        double[] grown = [1, 2, 4, 8, 16, 32, 60, 60, 60];
        foreach (var most in grown)
        {
            var pause = schedule.Failed().TotalSeconds;
            Assert.InRange(pause, most / 2, most);
            Assert.Equal(pause, schedule.Pause.TotalSeconds, 0.001);
        }

        Assert.NotEqual(new RenewalSchedule(time, new Random(2)).Failed(), new RenewalSchedule(time, new Random(3)).Failed());
    }

    [Fact]
    public void A_suspended_machine_renews_when_it_wakes()
    {
        var schedule = new RenewalSchedule(time, new Random(1));
        var leaf = authority.Forge.Leaf(authority.Root);
        using var svid = Svid.Create(leaf.Certificate, [], leaf.Key);
        schedule.Obtained(svid);
        // The clock is looked at again within a minute, however far the renewal is: timers stood still meanwhile.
        Assert.Equal(TimeSpan.FromMinutes(1), schedule.Pause);
    }

    [Fact]
    public async Task An_outage_shorter_than_the_lifetime_is_survived_with_the_certificate_held()
    {
        await using var agent = Start();
        var first = await agent.CertifiedAsync();
        authority.Answer = _ => throw new GrpcException(GrpcStatusCode.Unavailable, "the CA is down");
        await PassAsync(TimeSpan.FromHours(15));
        await agent.SaysAsync("could not be renewed yet");
        Assert.Same(first, agent.Agent.Current);
        await FailAsync(agent, TimeSpan.FromHours(8));
        Assert.Same(first, agent.Agent.Current);
        authority.Answer = authority.DefaultAnswer;
        await FailAsync(agent, TimeSpan.FromMinutes(1));
        await Eventually.TrueAsync(() => agent.Changes == 2, () => agent.Lines.ToString());
        Assert.True(agent.Agent.Current!.Svid.NotAfter > first.Svid.NotAfter);
        // The one token was used for the first; the later tries were with the certificate.
        Assert.Single(authority.Requests, r => r.Authorization.Length > 0);
    }

    [Fact]
    public async Task Past_its_end_the_agent_says_so_and_that_the_token_is_used_up()
    {
        await using var agent = Start();
        var first = await agent.CertifiedAsync();
        authority.Answer = _ => throw new GrpcException(GrpcStatusCode.Unavailable, "the CA is down");
        await PassAsync(TimeSpan.FromHours(15));
        await FailAsync(agent, TimeSpan.FromHours(10));
        await agent.SaysAsync("the certificate has ended and cannot be renewed");
        await agent.SaysAsync("the join token is used up: start again with a new one");
        Assert.Same(first, agent.Agent.Current);
    }

    [Fact]
    public async Task Past_its_end_a_Kubernetes_token_helps()
    {
        using var folder = new TemporaryFolder();
        await File.WriteAllTextAsync(folder["ca.pem"], authority.Root.Pem);
        await File.WriteAllTextAsync(folder["token"], "a.jwt");
        authority.Show(authority.Forge.Leaf(authority.Issuer, "spiffe://cluster.local/ns/mesh-system/sa/control-plane", r => r.NotAfter = r.NotAfter.AddDays(9)));
        await using var agent = new RunningAgent(new() { ControlPlane = authority.Address, KubeTokenFile = folder["token"], CaFile = folder["ca.pem"] }, time);
        await agent.CertifiedAsync();
        await PassAsync(TimeSpan.FromHours(48));
        await Eventually.TrueAsync(() => agent.Changes == 2, () => agent.Lines.ToString());
        Assert.Equal(["Bearer a.jwt", "Bearer a.jwt"], authority.Requests.Select(r => r.Authorization));
    }

    [Fact]
    public async Task A_join_token_that_was_refused_is_tried_again()
    {
        authority.Answer = _ => throw new GrpcException(GrpcStatusCode.ResourceExhausted, "too many at once");
        await using var agent = Start();
        await agent.SaysAsync("too many at once");
        authority.Answer = authority.DefaultAnswer;
        await FailAsync(agent, TimeSpan.FromSeconds(1));
        await agent.CertifiedAsync();
        // With the same key: an answer that was lost on the way can be given again.
        Assert.Single(authority.Requests.Select(r => Convert.ToHexString(r.Key.ExportSubjectPublicKeyInfo())).Distinct());
    }

    [Fact]
    public async Task Pushed_roots_are_in_force_at_once()
    {
        await using var agent = Start();
        var first = await agent.CertifiedAsync();
        var both = new TrustBundle("cluster.local", [authority.Root.Certificate, authority.Forge.Root("next").Certificate]);
        agent.Agent.UpdateBundle(both);
        Assert.Equal(both.Fingerprint, agent.Agent.Current!.Bundle.Fingerprint);
        Assert.Same(first.Svid, agent.Agent.Current.Svid);
        Assert.Equal(2, agent.Changes);
        agent.Agent.UpdateBundle(both);
        Assert.Equal(2, agent.Changes);
        // A renewal whose answer has not heard of them does not take them back.
        await PassAsync(TimeSpan.FromHours(15));
        await Eventually.TrueAsync(() => agent.Changes == 3);
        Assert.Equal(both.Fingerprint, agent.Agent.Current!.Bundle.Fingerprint);
    }

    [Fact]
    public async Task Roots_of_another_trust_domain_are_not_taken()
    {
        await using var agent = Start();
        var first = await agent.CertifiedAsync();
        agent.Agent.UpdateBundle(new TrustBundle("other.local", [authority.Root.Certificate]));
        Assert.Same(first, agent.Agent.Current);
        await agent.SaysAsync("roots of another trust domain");
    }

    [Fact]
    public async Task Roots_that_no_longer_vouch_for_the_certificate_make_a_new_one()
    {
        await using var agent = Start();
        await agent.CertifiedAsync();
        var next = authority.Forge.Root("next");
        var issuer = authority.Forge.Authority(next, "next issuing");
        (authority.Root, authority.Issuer) = (next, issuer);
        authority.Show(authority.Forge.ControlPlane(issuer, next));
        agent.Agent.UpdateBundle(authority.Bundle);
        await Eventually.TrueAsync(() => agent.Changes == 3, () => agent.Lines.ToString());
        Assert.Equal(next.Certificate.Subject, issuer.Certificate.Issuer);
        Assert.Equal([issuer.Certificate], agent.Agent.Current!.Svid.Chain.AsEnumerable());
    }

    [Fact]
    public async Task An_owner_can_have_it_renewed_now()
    {
        await using var agent = Start();
        await agent.CertifiedAsync();
        agent.Agent.RenewSoon();
        await Eventually.TrueAsync(() => agent.Changes == 2, () => agent.Lines.ToString());
    }

    [Fact]
    public async Task A_renewal_that_names_somebody_else_is_not_believed()
    {
        await using var agent = Start();
        var first = await agent.CertifiedAsync();
        authority.Answer = asked => SmallAuthority.Chain(authority.LeafFor(asked, "spiffe://cluster.local/ns/shop/sa/admin").Pem, authority.Issuer.Pem, authority.Root.Pem);
        agent.Agent.RenewSoon();
        await agent.SaysAsync("UnexpectedId");
        Assert.Same(first, agent.Agent.Current);
    }

    [Fact]
    public async Task Before_the_first_certificate_no_TLS_to_the_control_plane_is_to_be_had()
    {
        authority.Answer = _ => throw new GrpcException(GrpcStatusCode.Unavailable, "down");
        await using var agent = Start();
        await agent.SaysAsync("no certificate yet");
        Assert.Throws<System.Security.Authentication.AuthenticationException>(agent.Agent.ControlPlaneTls);
        agent.Agent.UpdateBundle(authority.Bundle);
        Assert.Null(agent.Agent.Current);
    }

    private RunningAgent Start() => new(new() { ControlPlane = authority.Address, JoinToken = authority.Token() }, time);

    /// <summary>Lets time pass once the agent sleeps, and waits until it has looked at the clock.</summary>
    private async Task PassAsync(TimeSpan by)
    {
        await Eventually.TrueAsync(() => time.ActiveTimers > 0);
        var made = time.TimersMade;
        time.Advance(by);
        await Eventually.TrueAsync(() => time.TimersMade > made);
    }

    /// <summary>Lets time pass after a failure was said, and waits for what comes of the next try.</summary>
    private async Task FailAsync(RunningAgent agent, TimeSpan by)
    {
        var said = agent.Lines.Count("again-in") + agent.Changes;
        await PassAsync(by);
        await Eventually.TrueAsync(() => agent.Lines.Count("again-in") + agent.Changes > said, () => agent.Lines.ToString());
    }
}
