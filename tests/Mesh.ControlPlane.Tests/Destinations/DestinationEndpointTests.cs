using System.Net;
using Google.Protobuf;
using Mesh.Api.Destinations;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.ControlPlane.Destinations;
using Mesh.ControlPlane.Model;
using Mesh.Tests;
using static Mesh.ControlPlane.Tests.Model.Policies.PolicyWorld;

namespace Mesh.ControlPlane.Tests.Destinations;

/// <summary>Lookups over the wire: who may ask, how often, and what is no question.</summary>
public sealed class DestinationEndpointTests : IAsyncLifetime
{
    private readonly ManualTimeProvider time = new();
    private readonly WorldStore store = new();
    private DestinationEndpoint endpoint = null!;
    private ServedPort port = null!;
    private GrpcChannel channel = null!;
    private volatile bool complete = true;

    public async Task InitializeAsync()
    {
        store.SetInstances(SourceOrder.Workloads, [Proved("cart-1", "shop/cart") with { Address = "10.1.0.1", Captured = true }]);
        endpoint = new DestinationEndpoint(store, new CapturedNodes(TimeSpan.FromSeconds(10), time), () => complete, time);
        port = await ServedPort.StartAsync("lookups", [ListenAddress.Parse("127.0.0.1:0")], ServedPort.Grpc, application =>
        {
            TestCaller.Use(application);
            endpoint.Map(application);
        }, new LogAdapter(Log.Silent));
        channel = new GrpcChannel(port.Addresses[0]);
    }

    public async Task DisposeAsync()
    {
        channel.Dispose();
        await port.DisposeAsync();
        endpoint.Dispose();
    }

    [Fact]
    public async Task A_workload_is_told_who_is_there()
    {
        var answer = await AskAsync("shop/web", "10.1.0.1", 5432);
        Assert.Equal((DestinationAnswer.Types.Verdict.Meshed, "cart.shop.svc.cluster.local", 30L), (answer.Verdict, answer.Service, answer.ValidFor.Seconds));
        Assert.Equal([TestCaller.Id("shop/cart")], answer.Identities);
        Assert.Equal(DestinationAnswer.Types.Verdict.Meshed, (await AskAsync("shop/web", "::ffff:10.1.0.1", 5432)).Verdict);
        Assert.Equal(DestinationAnswer.Types.Verdict.NotMeshed, (await AskAsync("shop/web", "10.2.0.1", 80)).Verdict);
    }

    [Fact]
    public async Task While_sources_have_not_told_all_nothing_is_no_answer()
    {
        complete = false;
        Assert.Equal(DestinationAnswer.Types.Verdict.Meshed, (await AskAsync("shop/web", "10.1.0.1", 80)).Verdict);
        Assert.Equal(GrpcStatusCode.Unavailable, await RefusalAsync("shop/web", "10.2.0.1", 80));
    }

    [Fact]
    public async Task Who_proves_nothing_or_asks_nonsense_is_refused()
    {
        Assert.Equal(GrpcStatusCode.Unauthenticated, await RefusalAsync(null, "10.1.0.1", 80));
        Assert.Equal(GrpcStatusCode.InvalidArgument, await RefusalAsync("shop/web", "10.1.0.1", 0));
        Assert.Equal(GrpcStatusCode.InvalidArgument, await RefusalAsync("shop/web", "10.1.0.1", 70000));
        var wrong = await Assert.ThrowsAsync<GrpcException>(() => channel.UnaryAsync(DestinationMethods.Lookup, new DestinationQuery { Address = ByteString.CopyFrom(1, 2, 3), Port = 80 }, TestCaller.As("shop/web"), default));
        Assert.Equal(GrpcStatusCode.InvalidArgument, wrong.Status.Code);
    }

    [Fact]
    public async Task Each_caller_has_a_rate_of_its_own()
    {
        for (var i = 0; i < DestinationEndpoint.Burst; i++) await AskAsync("shop/greedy", "10.1.0.1", 80);
        Assert.Equal(GrpcStatusCode.ResourceExhausted, await RefusalAsync("shop/greedy", "10.1.0.1", 80));
        time.Advance(TimeSpan.FromMilliseconds(100));
        await AskAsync("shop/other", "10.1.0.1", 80);
        await AskAsync("shop/greedy", "10.1.0.1", 80);
    }

    [Fact]
    public async Task A_workload_that_comes_is_known_at_once()
    {
        Assert.Equal(DestinationAnswer.Types.Verdict.NotMeshed, (await AskAsync("shop/web", "10.1.0.9", 80)).Verdict);
        store.SetInstances("other", [Proved("db-1", "shop/db") with { Address = "10.1.0.9", Captured = true }]);
        Assert.Equal(DestinationAnswer.Types.Verdict.Meshed, (await AskAsync("shop/web", "10.1.0.9", 80)).Verdict);
    }

    private async Task<DestinationAnswer> AskAsync(string? caller, string address, uint number) => await channel.UnaryAsync(
        DestinationMethods.Lookup, new DestinationQuery { Address = ByteString.CopyFrom(IPAddress.Parse(address).GetAddressBytes()), Port = number }, TestCaller.As(caller), default);

    private async Task<GrpcStatusCode> RefusalAsync(string? caller, string address, uint number) =>
        (await Assert.ThrowsAsync<GrpcException>(() => AskAsync(caller, address, number))).Status.Code;
}
