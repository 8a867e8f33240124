using System.Net;
using Mesh.Api.Identity;
using Mesh.Api.V1;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Sources.Workloads;
using static Mesh.ControlPlane.Tests.Model.Policies.PolicyWorld;

namespace Mesh.ControlPlane.Tests.Sources.Workloads;

/// <summary>What a workload may register by the identity it proved: attacks that must fail, in pure form and over a real stream.</summary>
public sealed class RegistrationAuthorityTests
{
    private static readonly Trust Tokens = Trust.None with
    {
        Grants = [new Grant(TestCaller.Id("shop/jobs"), [new("shop", "cart"), new("shop", "stock")], ["10.9.9.9"])],
        Revoked = [TestCaller.Id("shop/gone")],
    };

    public static TheoryData<string, string, string, string, string, string> Cases() => new()
    {
        // what, caller, registers, address, seen at, refused because
        { "its own service", "shop/web", "shop/web", "10.0.0.7", "10.0.0.7", "" },
        { "its own, seen over IPv6", "shop/web", "shop/web", "10.0.0.7", "::ffff:10.0.0.7", "" },
        { "another loopback address", "shop/web", "shop/web", "127.0.0.1", "::1", "" },
        { "another's service", "shop/web", "shop/db", "10.0.0.7", "10.0.0.7", "service" },
        { "a service that only begins alike", "shop/web", "shop/web2", "10.0.0.7", "10.0.0.7", "service" },
        { "another namespace's service of its name", "shop/web", "bank/web", "10.0.0.7", "10.0.0.7", "namespace" },
        { "a service its token serves", "shop/jobs", "shop/cart", "10.0.0.7", "10.0.0.7", "" },
        { "a service its token does not serve", "shop/jobs", "shop/web", "10.0.0.7", "10.0.0.7", "service" },
        { "its own name, which somebody's token serves", "shop/cart", "shop/cart", "10.0.0.7", "10.0.0.7", "service" },
        { "an address of its token", "shop/jobs", "shop/cart", "10.9.9.9", "10.0.0.7", "" },
        { "an address of another's token", "shop/web", "shop/web", "10.9.9.9", "10.0.0.7", "address" },
        { "another's address", "shop/web", "shop/web", "10.0.0.8", "10.0.0.7", "address" },
        { "the loopback address from elsewhere", "shop/web", "shop/web", "127.0.0.1", "10.0.0.7", "address" },
        { "an address, seen at none", "shop/web", "shop/web", "10.0.0.7", "", "address" },
        { "a revoked identity", "shop/gone", "shop/gone", "10.0.0.7", "10.0.0.7", "revoked" },
        { "an identity of another form", "", "shop/web", "10.0.0.7", "10.0.0.7", "namespace" },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Registers(string what, string caller, string service, string address, string seenAt, string refused)
    {
        Assert.NotEmpty(what);
        var id = SpiffeId.Parse(caller.Length == 0 ? "spiffe://cluster.local/workload" : TestCaller.Id(caller));
        var instance = Plain("w-1", service) with { Address = address };
        var refusal = RegistrationAuthority.Check(instance, id, seenAt.Length == 0 ? null : IPAddress.Parse(seenAt), Of(Tokens, ""));
        Assert.Equal(refused, refusal?.Reason ?? "");
    }

    [Fact]
    public void A_refusal_says_who_may()
    {
        var world = Of(Tokens, ServiceIdentity("db", "service: {name: db}, identities: [shop/postgres]"));
        var refusal = RegistrationAuthority.Check(Plain("w-1", "shop/db"), SpiffeId.Parse(TestCaller.Id("shop/web")), IPAddress.Loopback, world);
        Assert.Equal(
            "spiffe://cluster.local/ns/shop/sa/web may not serve shop/db, which spiffe://cluster.local/ns/shop/sa/postgres may; write a ServiceIdentity, or make its join token with --serves db",
            refusal?.Text);
    }

    [Fact]
    public async Task Over_a_stream_it_is_refused_logged_and_not_in_the_world()
    {
        await using var registry = await TestRegistry.StartAsync("built in");
        await using var replica = await TestReplica.StartAsync(registry, "r1");
        await using var thief = new TestWorkload(replica.Address, "shop/thief");
        var forged = TestWorkload.Registration("web-1", "web");
        forged.Namespace = "shop";
        var ack = await thief.SendAsync(new WorkloadUpdate { Register = forged });
        Assert.Equal(WorkloadAck.Types.Status.Refused, ack.Status);
        Assert.Contains("may not serve shop/web", ack.Message, StringComparison.Ordinal);
        Assert.Empty(replica.Store.Current.Instances);
        Assert.Contains("a registration is refused identity=spiffe://cluster.local/ns/shop/sa/thief workload=web-1 service=shop/web reason=service", replica.Output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_identity_is_the_proved_one_and_is_written_into_the_registry()
    {
        await using var registry = await TestRegistry.StartAsync("built in");
        await using var replica = await TestReplica.StartAsync(registry, "r1");
        await using var other = await TestReplica.StartAsync(registry, "r2");
        await using var web = await TestWorkload.RegisterAsync(replica, "web-1", "web", "shop/web");
        Assert.Equal(TestCaller.Id("shop/web"), replica.Store.Current.Instances["web-1"].Identity);
        await other.HasAsync("web", "web-1");
        Assert.Equal(TestCaller.Id("shop/web"), other.Store.Current.Instances["web-1"].Identity);
    }

    [Fact]
    public async Task A_workload_id_stays_with_the_identity_that_holds_it()
    {
        await using var registry = await TestRegistry.StartAsync("built in");
        await using var replica = await TestReplica.StartAsync(registry, "r1");
        await using var web = await TestWorkload.RegisterAsync(replica, "web-1", "web", "shop/web");
        foreach (var identity in new[] { "shop/thief", null })
        {
            await using var thief = new TestWorkload(replica.Address, identity);
            var taken = TestWorkload.Registration("web-1", "thief");
            taken.Namespace = "shop";
            var ack = await thief.SendAsync(new WorkloadUpdate { Register = taken });
            Assert.Equal((WorkloadAck.Types.Status.Refused, "workload id 'web-1' is held by another identity"), (ack.Status, ack.Message));
        }

        Assert.Equal("web", replica.Store.Current.Instances["web-1"].Service);
        await using var again = await TestWorkload.RegisterAsync(replica, "web-1", "web", "shop/web");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_workload_id_stays_with_its_identity_at_every_replica(bool known)
    {
        await using var registry = await TestRegistry.StartAsync("built in");
        await using var one = await TestReplica.StartAsync(registry, "r1");
        await using var web = await TestWorkload.RegisterAsync(one, "web-1", "web", "shop/web");
        await using var two = await TestReplica.StartAsync(registry, "r2");
        if (known) await two.HasAsync("web", "web-1");
        await using var thief = new TestWorkload(two.Address, "shop/thief");
        var taken = TestWorkload.Registration("web-1", "thief");
        taken.Namespace = "shop";
        // It is refused at once, or when the registry is asked.
        var words = "";
        try
        {
            var ack = await thief.SendAsync(new WorkloadUpdate { Register = taken });
            words = ack.Status == WorkloadAck.Types.Status.Refused ? ack.Message : (await thief.EndAsync()).Message;
        }
        catch (Mesh.Api.Grpc.GrpcException e)
        {
            words = e.Message;
        }

        Assert.Contains("workload id 'web-1' is held by another identity", words, StringComparison.Ordinal);
        await two.HasAsync("web", "web-1");
        await two.HasAsync("thief");
        // The one it belongs to did not notice.
        Assert.Equal(WorkloadAck.Types.Status.Accepted, (await web.SendAsync(new WorkloadUpdate { Health = new Health { State = Health.Types.State.Warning } })).Status);
        await two.HasAsync("web", "web-1:Warning");
    }
}
