using Google.Protobuf;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.Api.Workloads;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources;
using Mesh.ControlPlane.Sources.Workloads;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Sources.Workloads;

/// <summary>The other addresses of a workload: its own ones only, over real streams; and workloads that serve nothing.</summary>
public sealed class MoreAddressesTests : IAsyncLifetime, IDisposable
{
    private const string Mine = "2001:db8::7";
    private TestRegistry registry = null!;
    private TestReplica replica = null!;
    private GrpcChannel channel = null!;

    public async Task InitializeAsync()
    {
        registry = await TestRegistry.StartAsync("built in");
        replica = await TestReplica.StartAsync(registry, "r1");
        channel = new GrpcChannel(replica.Address);
    }

    [Fact]
    public async Task A_proved_address_is_the_workloads_and_is_known_to_other_replicas()
    {
        await using var other = await TestReplica.StartAsync(registry, "r2");
        var ack = await RegisterAsync("shop/web", (Mine, await ProveAsync("shop/web", Mine)));
        Assert.Equal((WorkloadAck.Types.Status.Accepted, ""), (ack.Status, ack.Message));
        Assert.Equal(Mine, Assert.Single(replica.Store.Current.Instances["web-1"].MoreAddresses));
        await other.HasAsync("web", "web-1");
        Assert.Equal(Mine, Assert.Single(other.Store.Current.Instances["web-1"].MoreAddresses));
    }

    [Theory]
    // Who proved, at which address, before which control plane; who says it of which.
    [InlineData("shop/web", Mine, "2001:db8::8")]
    [InlineData("shop/thief", Mine, Mine)]
    [InlineData("bank/web", Mine, Mine)]
    [InlineData(null, Mine, Mine)]
    public async Task Anothers_address_is_left_out_said_and_counted(string? prover, string proved, string said)
    {
        var proof = prover is null ? ByteString.Empty : await ProveAsync(prover, proved);
        var ack = await RegisterAsync("shop/web", (said, proof));
        Assert.Equal(WorkloadAck.Types.Status.Accepted, ack.Status);
        Assert.Contains($"no connection proved that they are the workload's: {said}; make its join token with --address", ack.Message, StringComparison.Ordinal);
        Assert.Empty(replica.Store.Current.Instances["web-1"].MoreAddresses);
        Assert.Contains("a registration is refused identity=spiffe://cluster.local/ns/shop/sa/web workload=web-1 service=shop/web reason=more_addresses", replica.Output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_granted_address_needs_no_proof()
    {
        replica.Store.SetTrust(Mesh.ControlPlane.Model.Policies.Trust.None with { Grants = [new(TestCaller.Id("shop/web"), [new("shop", "web")], [Mine])] });
        Assert.Equal("", (await RegisterAsync("shop/web", (Mine, ByteString.Empty))).Message);
        Assert.Equal(Mine, Assert.Single(replica.Store.Current.Instances["web-1"].MoreAddresses));
    }

    [Fact]
    public async Task Proofs_are_for_who_proved_an_identity()
    {
        var refused = await Assert.ThrowsAsync<GrpcException>(() => channel.UnaryAsync(WorkloadMethods.ProveAddress, new AddressQuery(), TestCaller.As(null), default));
        Assert.Equal(GrpcStatusCode.Unauthenticated, refused.Code);
        var proof = await channel.UnaryAsync(WorkloadMethods.ProveAddress, new AddressQuery(), TestCaller.As("shop/web", "::ffff:10.0.0.7"), default);
        Assert.Equal("10.0.0.7", proof.Address);
    }

    [Fact]
    public void What_is_not_proved_again_is_dropped()
    {
        var time = new ManualTimeProvider();
        var store = new WorldStore();
        using var registrations = new WorkloadRegistrations(store, new WithdrawnWorkloads("r1", time), new WorkloadOptions { Spacing = TimeSpan.Zero }, time, Log.Silent);
        var lease = registrations.TryOpen()!;
        Assert.Null(RegistrationRules.Check(Registration((Mine, ByteString.Empty)), out var instance));
        Assert.Null(registrations.Register(lease, instance!, "", out _, time.GetUtcNow() + TimeSpan.FromMinutes(10)));
        time.Advance(TimeSpan.FromMinutes(9));
        Assert.Null(registrations.Register(lease, instance!, "", out _, time.GetUtcNow() + TimeSpan.FromMinutes(10)));
        time.Advance(TimeSpan.FromMinutes(9));
        Assert.Equal(Mine, Assert.Single(registrations.Desired("web-1")!.Instance.MoreAddresses));
        time.Advance(TimeSpan.FromMinutes(1));
        Assert.Empty(registrations.Desired("web-1")!.Instance.MoreAddresses);
    }

    [Fact]
    public async Task Who_serves_nothing_is_known_by_its_address_and_in_no_registry_and_no_service()
    {
        replica.Store.SetRules(SourceOrder.Files, RuleSet.Empty with
        {
            Services = [new ServiceDocument { Name = new("shop", "db"), Selector = System.Collections.Immutable.ImmutableSortedDictionary<string, string>.Empty.Add("app", "db"), Ports = [new ServicePort(5432, "", AppProtocol.Tcp, "")], Source = new Provenance("Service", "shop", "db", "r.yaml:1") }],
        });
        await using var client = new TestWorkload(replica.Address, "shop/web");
        var registration = Registration();
        (registration.Service, registration.Id) = ("", "client-1");
        registration.Ports.Clear();
        registration.Labels["app"] = "db";
        Assert.Equal(WorkloadAck.Types.Status.Accepted, (await client.SendAsync(new WorkloadUpdate { Register = registration })).Status);
        var known = replica.Store.Current.Instances["client-1"];
        Assert.Equal((TestCaller.Id("shop/web"), "", "127.0.0.1"), (known.Identity, known.Service, known.Address));
        // Nor does it serve what it says in labels.
        Assert.Empty(replica.Store.Current.Services[new("shop", "db")].Ports[0].Endpoints);
        Assert.DoesNotContain("client-1", (await registry.GetAsync("/v1/catalog/nodes")).ToString(), StringComparison.Ordinal);
        await client.DisposeAsync();
        await Eventually.TrueAsync(() => !replica.Store.Current.Instances.ContainsKey("client-1"));
    }

    public async Task DisposeAsync()
    {
        await replica.DisposeAsync();
        await registry.DisposeAsync();
    }

    public void Dispose() => channel.Dispose();

    private static Registration Registration(params (string Address, ByteString Proof)[] more)
    {
        var registration = TestWorkload.Registration("web-1", "web");
        (registration.Namespace, registration.Captured, registration.Ports[0].ListenPort) = ("shop", true, 8080);
        registration.MoreAddresses.Add(more.Select(one => new OwnAddress { Address = one.Address, Proof = one.Proof }));
        return registration;
    }

    private async Task<ByteString> ProveAsync(string identity, string seenAt) =>
        (await channel.UnaryAsync(WorkloadMethods.ProveAddress, new AddressQuery(), TestCaller.As(identity, seenAt), default)).Proof;

    private async Task<WorkloadAck> RegisterAsync(string identity, params (string Address, ByteString Proof)[] more)
    {
        await using var workload = new TestWorkload(replica.Address, identity);
        return await workload.SendAsync(new WorkloadUpdate { Register = Registration(more) });
    }
}
