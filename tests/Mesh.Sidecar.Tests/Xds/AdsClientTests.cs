using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Route.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Xds;
using Mesh.Tests;
using Cluster = Envoy.Config.Cluster.V3.Cluster;
using Listener = Envoy.Config.Listener.V3.Listener;

namespace Mesh.Sidecar.Tests.Xds;

/// <summary>The ADS client against a scripted control plane on a real connection.</summary>
public sealed class AdsClientTests : IAsyncDisposable
{
    private readonly ManualTimeProvider time = new();
    private readonly Snapshots snapshots = new();
    private readonly SemaphoreSlim published = new(0);
    private readonly CancellationTokenSource stop = new();
    private GrpcChannel? channel;
    private AdsClient? client;
    private SnapshotPublisher? publisher;
    private Task running = Task.CompletedTask;

    public AdsClientTests() => snapshots.Changed += _ => published.Release();

    [Fact]
    public async Task First_configuration_is_published_once_it_is_complete()
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        Start(plane.Address);
        var stream = await plane.NextStreamAsync();

        var clusters = await stream.RequestAsync(TypeUrls.Cluster);
        Assert.Equal("sidecar~test", clusters.Node.Id);
        Assert.Equal(("", ""), (clusters.VersionInfo, clusters.ResponseNonce));
        Assert.Empty(clusters.ResourceNames);
        Assert.Null((await stream.RequestAsync(TypeUrls.Listener)).Node);

        await stream.SendAsync(TypeUrls.Cluster, "c1", EdsCluster("a"));
        var ack = await stream.RequestAsync(TypeUrls.Cluster);
        Assert.Equal(("c1", "n1", null), (ack.VersionInfo, ack.ResponseNonce, ack.ErrorDetail));
        Assert.Equal(["a"], (await stream.RequestAsync(TypeUrls.ClusterLoadAssignment)).ResourceNames);

        await stream.SendAsync(TypeUrls.ClusterLoadAssignment, "e1", Endpoints("a", "10.0.0.1"));
        Assert.Equal(("e1", "n2"), VersionAndNonce(await stream.RequestAsync(TypeUrls.ClusterLoadAssignment)));
        await stream.SendAsync(TypeUrls.Listener, "l1", RdsListener("outbound", "r"));
        await stream.RequestAsync(TypeUrls.Listener);
        Assert.Equal(["r"], (await stream.RequestAsync(TypeUrls.RouteConfiguration)).ResourceNames);
        Assert.Equal(0, snapshots.Current.Number);

        await stream.SendAsync(TypeUrls.RouteConfiguration, "r1", Routes("r", "a"));
        await PublishedAsync();
        Assert.Equal("10.0.0.1:80", snapshots.Current.RouteTables[0].Hosts[0].Routes[0].Clusters[0].Cluster!.Endpoints[0].Authority);
        Assert.Equal("r1", snapshots.Current.Versions[TypeUrls.RouteConfiguration]);
        Assert.True(client!.Status.Connected);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_hundred_thousand_bad_routes_are_answered_in_bounded_time_and_words(bool refused)
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        var stream = await ServingAsync(plane);
        var table = Routes("r", "a");
        for (var i = 0; i < 100_000; i++)
        {
            // Without a matcher it is an error; a cluster nobody has is none: requests for it are refused.
            var bad = new Envoy.Config.Route.V3.Route { Name = $"bad-{i}", Match = refused ? new Envoy.Config.Route.V3.RouteMatch() : new Envoy.Config.Route.V3.RouteMatch { Prefix = $"/{i}" }, Route_ = new RouteAction { Cluster = $"nowhere-{i}" } };
            table.VirtualHosts[0].Routes.Add(bad);
        }

        var watch = System.Diagnostics.Stopwatch.StartNew();
        await stream.SendAsync(TypeUrls.RouteConfiguration, "r2", table);
        var answer = await stream.RequestAsync(TypeUrls.RouteConfiguration);
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), $"after {watch.Elapsed}");
        Assert.Equal(refused ? "r1" : "r2", answer.VersionInfo);
        if (refused) Assert.InRange(answer.ErrorDetail.Message.Length, 100, 5000);
        if (!refused) await PublishedAsync();
        Assert.Equal(refused ? 1 : 100_001, snapshots.Current.RouteTables[0].Hosts[0].Routes.Length);
        await stream.SendAsync(TypeUrls.RouteConfiguration, "r3", Routes("r", "a"));
        Assert.Equal("r3", (await stream.RequestAsync(TypeUrls.RouteConfiguration)).VersionInfo);
    }

    [Fact]
    public async Task An_answer_with_errors_is_refused_whole_and_the_last_good_serves_on()
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        var stream = await ServingAsync(plane);
        var before = snapshots.Current;

        await stream.SendAsync(TypeUrls.Cluster, "c2", EdsCluster("b"), new Cluster { Name = "bad", LbPolicy = Cluster.Types.LbPolicy.Maglev });
        var nack = await stream.RequestAsync(TypeUrls.Cluster);
        Assert.Equal(("c1", "n5"), VersionAndNonce(nack));
        Assert.Equal(3, nack.ErrorDetail.Code);
        Assert.Equal("Cluster bad: lb_policy Maglev: is not supported by this sidecar yet", nack.ErrorDetail.Message);
        Assert.Same(before, snapshots.Current);
        Assert.Equal(1, client!.Status.Refused);

        await stream.SendAsync(TypeUrls.Cluster, "c3", EdsCluster("a"));
        Assert.Equal(("c3", "n6"), VersionAndNonce(await stream.RequestAsync(TypeUrls.Cluster)));
        await PublishedAsync();
    }

    public static TheoryData<string, string, Any[], string> Garbage => new()
    {
        { "another type's resource", TypeUrls.Cluster, [Packing.Pack(new RouteConfiguration { Name = "r" })], "is a type.googleapis.com/envoy.config.route.v3.RouteConfiguration, not a envoy.config.cluster.v3.Cluster" },
        { "bytes that are no message", TypeUrls.Cluster, [new Any { TypeUrl = TypeUrls.Cluster, Value = ByteString.CopyFrom(0xff, 0xff, 0xff) }], "Cluster #0: the bytes are not a type.googleapis.com/envoy.config.cluster.v3.Cluster" },
        { "half a message", TypeUrls.Cluster, [new Any { TypeUrl = TypeUrls.Cluster, Value = ByteString.CopyFrom(10, 5, 65) }], "Cluster #0: the bytes are not" },
        { "an empty Any", TypeUrls.Cluster, [new Any()], "Cluster #0: is a , not a envoy.config.cluster.v3.Cluster" },
        { "a type nobody asked for", "type.googleapis.com/no.such.Type", [new Any()], "type_url \"type.googleapis.com/no.such.Type\" is not one this sidecar asked for" },
        { "no type", "", [], "type_url \"\" is not one this sidecar asked for" },
        { "a nameless resource", TypeUrls.Cluster, [Packing.Pack(new Cluster())], "Cluster #0: has no name" },
        { "a name twice", TypeUrls.Cluster, [Packing.Pack(EdsCluster("x")), Packing.Pack(new Cluster { Name = "x" })], "Cluster x: is there twice in one answer" },
    };

    [Theory]
    [MemberData(nameof(Garbage))]
    public async Task Garbage_is_refused_in_words(string what, string type, Any[] resources, string expected)
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        var stream = await ServingAsync(plane);
        var before = snapshots.Current;
        await stream.SendRawAsync(type, "g", resources);
        Assert.Contains(expected, (await stream.RequestAsync(type)).ErrorDetail?.Message ?? $"{what}: accepted", StringComparison.Ordinal);
        Assert.Same(before, snapshots.Current);

        await stream.SendAsync(TypeUrls.ClusterLoadAssignment, "e2", Endpoints("a", "10.0.0.2"));
        await PublishedAsync();
        Assert.Equal("10.0.0.2:80", snapshots.Current.Clusters[0].Endpoints[0].Authority);
    }

    [Fact]
    public async Task A_new_stream_resumes_with_the_last_versions_and_names()
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        var stream = await ServingAsync(plane);
        var before = snapshots.Current;
        stream.End();
        var next = await ReconnectAsync(plane);
        var clusters = await next.RequestAsync(TypeUrls.Cluster);
        Assert.Equal(("c1", "", "sidecar~test"), (clusters.VersionInfo, clusters.ResponseNonce, clusters.Node.Id));
        var endpoints = await next.RequestAsync(TypeUrls.ClusterLoadAssignment);
        Assert.Equal("e1", endpoints.VersionInfo);
        Assert.Equal(["a"], endpoints.ResourceNames);
        Assert.Equal("l1", (await next.RequestAsync(TypeUrls.Listener)).VersionInfo);
        Assert.Equal(["r"], (await next.RequestAsync(TypeUrls.RouteConfiguration)).ResourceNames);
        Assert.Same(before, snapshots.Current);
    }

    [Fact]
    public async Task A_control_plane_that_comes_back_after_hours_finds_the_sidecar_serving()
    {
        var plane = await ScriptedControlPlane.StartAsync();
        await ServingAsync(plane);
        var before = snapshots.Current;
        var port = int.Parse(plane.Address.Split(':')[1]);
        await plane.DisposeAsync();
        for (var i = 0; i < 20; i++)
        {
            await WaitForTimerAsync();
            time.Advance(TimeSpan.FromMinutes(10));
        }

        Assert.Same(before, snapshots.Current);
        await using var back = await ScriptedControlPlane.StartAsync(port);
        var stream = await ReconnectAsync(back);
        Assert.Equal("c1", (await stream.RequestAsync(TypeUrls.Cluster)).VersionInfo);
    }

    [Fact]
    public async Task What_is_not_sent_in_time_counts_as_empty()
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        Start(plane.Address);
        var stream = await plane.NextStreamAsync();
        await stream.RequestAsync(TypeUrls.Cluster);
        await stream.RequestAsync(TypeUrls.Listener);
        await stream.SendAsync(TypeUrls.Cluster, "c1", EdsCluster("a"));
        await stream.SendAsync(TypeUrls.Listener, "l1", RdsListener("outbound", "r"));
        await stream.RequestAsync(TypeUrls.Cluster);
        await stream.RequestAsync(TypeUrls.ClusterLoadAssignment);
        await stream.RequestAsync(TypeUrls.Listener);
        await stream.RequestAsync(TypeUrls.RouteConfiguration);
        await WaitForTimerAsync();
        Assert.Contains("waiting for a, r", client!.Status.Trouble, StringComparison.Ordinal);
        time.Advance(Warming.Patience);
        await PublishedAsync();
        Assert.Empty(snapshots.Current.Clusters[0].Endpoints);
        Assert.Empty(snapshots.Current.RouteTables[0].Hosts);
        Assert.Equal("", client.Status.Trouble);
    }

    [Fact]
    public async Task Names_no_longer_needed_are_given_back_and_what_was_removed_is_gone()
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        var stream = await ServingAsync(plane);
        await stream.SendAsync(TypeUrls.Cluster, "c2", EdsCluster("b"));
        await stream.RequestAsync(TypeUrls.Cluster);
        var endpoints = await stream.RequestAsync(TypeUrls.ClusterLoadAssignment);
        Assert.Equal(["b"], endpoints.ResourceNames);
        Assert.Equal(("e1", "n2"), VersionAndNonce(endpoints));
        Assert.Equal("a", snapshots.Current.Clusters[0].Name);
        await stream.SendAsync(TypeUrls.ClusterLoadAssignment, "e2", Endpoints("b", "10.0.0.3"), Endpoints("nobody", "10.0.0.4"));
        await PublishedAsync();
        Assert.Equal("b", Assert.Single(snapshots.Current.Clusters).Name);
        Assert.Null(snapshots.Current.RouteTables[0].Hosts[0].Routes[0].Clusters[0].Cluster);
    }

    [Fact]
    public async Task The_end_of_all_names_is_said()
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        var stream = await ServingAsync(plane);
        await stream.SendAsync(TypeUrls.Cluster, "c2");
        await stream.RequestAsync(TypeUrls.Cluster);
        Assert.Empty((await stream.RequestAsync(TypeUrls.ClusterLoadAssignment)).ResourceNames);
        await PublishedAsync();
        Assert.Empty(snapshots.Current.Clusters);
    }

    [Fact]
    public async Task A_flood_of_refusals_is_slowed_down()
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        var stream = await ServingAsync(plane);
        for (var i = 0; i < 12; i++) await stream.SendRawAsync(TypeUrls.Cluster, "bad", new Any());
        for (var i = 0; i < 11; i++) await stream.RequestAsync(TypeUrls.Cluster);
        await WaitForTimerAsync();
        Assert.Equal(11, client!.Status.Refused);
        time.Advance(TimeSpan.FromSeconds(1));
        await stream.RequestAsync(TypeUrls.Cluster);
    }

    [Fact]
    public async Task An_answer_beyond_the_usual_four_MiB_is_taken()
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        Start(plane.Address);
        var stream = await plane.NextStreamAsync();
        await stream.RequestAsync(TypeUrls.Cluster);
        await stream.RequestAsync(TypeUrls.Listener);
        var large = EdsCluster("a");
        large.Metadata = new Metadata { FilterMetadata = { ["large"] = new Struct { Fields = { ["text"] = Value.ForString(new string('x', 6 * 1024 * 1024)) } } } };
        await stream.SendAsync(TypeUrls.Cluster, "c1", large);
        var answer = await stream.RequestAsync(TypeUrls.Cluster);
        Assert.Equal(("c1", null), (answer.VersionInfo, answer.ErrorDetail));
    }

    [Fact]
    public async Task What_captures_serves_nothing_before_it_knows_the_meshs_own_addresses()
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        Start(plane.Address, captures: true);
        var stream = await plane.NextStreamAsync();
        Assert.Equal([TypeUrls.RangesName, .. Enumerable.Range(0, 64).Select(i => $"workloads/{i}")], (await stream.RequestAsync(TypeUrls.MeshRanges)).ResourceNames);
        await stream.RequestAsync(TypeUrls.Cluster);
        await stream.RequestAsync(TypeUrls.Listener);
        await stream.SendAsync(TypeUrls.Cluster, "c1");
        await stream.RequestAsync(TypeUrls.Cluster);
        await stream.SendAsync(TypeUrls.Listener, "l1");
        await stream.RequestAsync(TypeUrls.Listener);
        Assert.Equal(0, snapshots.Current.Number);
        await stream.SendAsync(TypeUrls.MeshRanges, "r1", new Mesh.Api.V1.MeshRanges());
        await stream.RequestAsync(TypeUrls.MeshRanges);
        await Mesh.Tests.Eventually.TrueAsync(() => snapshots.Current.Number == 1);
        Assert.NotNull(snapshots.Current.Ranges);

        // Where workloads are comes in parts; a part that comes again replaces that part and nothing else.
        await stream.SendAsync(TypeUrls.MeshRanges, "r2", Part(5, "10.0.0.5"), Part(6, "10.0.0.6"));
        await stream.RequestAsync(TypeUrls.MeshRanges);
        await stream.SendAsync(TypeUrls.MeshRanges, "r3", Part(5, "10.0.1.5"));
        await stream.RequestAsync(TypeUrls.MeshRanges);
        await Mesh.Tests.Eventually.TrueAsync(() => Knows("10.0.1.5"));
        Assert.True(Knows("10.0.0.6") && !Knows("10.0.0.5"));
        bool Knows(string address) => snapshots.Current.Ranges!.Workloads.Contains(System.Net.IPAddress.Parse(address));
        Mesh.Api.V1.MeshRanges Part(int number, string address) =>
            new() { Name = $"workloads/{number}", Workloads4 = Google.Protobuf.ByteString.CopyFrom(System.Net.IPAddress.Parse(address).GetAddressBytes()) };
    }

    [Fact]
    public async Task Without_names_it_serves_when_they_do_not_come_and_says_that_they_are_lacking()
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        Start(plane.Address, begin: AdsClient.Wanted(captures: true, resolves: true));
        var stream = await plane.NextStreamAsync();
        foreach (var type in new[] { TypeUrls.MeshRanges, TypeUrls.NameTable, TypeUrls.Cluster, TypeUrls.Listener }) await stream.RequestAsync(type);
        await stream.SendAsync(TypeUrls.MeshRanges, "r1", new Mesh.Api.V1.MeshRanges());
        await stream.SendAsync(TypeUrls.Cluster, "c1");
        await stream.SendAsync(TypeUrls.Listener, "l1");
        foreach (var type in new[] { TypeUrls.MeshRanges, TypeUrls.Cluster, TypeUrls.Listener }) await stream.RequestAsync(type);
        await WaitForTimerAsync();
        time.Advance(Warming.Patience);
        await PublishedAsync();
        Assert.Contains("names of the mesh", publisher!.Serving.Lacks, StringComparison.Ordinal);
        await stream.SendAsync(TypeUrls.NameTable, "n1", new Mesh.Api.V1.NameTable { ClusterDomain = "cluster.local" });
        await PublishedAsync();
        Assert.Equal("", publisher.Serving.Lacks);
        Assert.NotNull(snapshots.Current.Names);
    }

    [Fact]
    public async Task Only_clusters_and_listeners_of_one_stream_confirm_what_serves()
    {
        DateTimeOffset end;
        await using (var first = await ScriptedControlPlane.StartAsync())
        {
            Start(first.Address);
            var stream = await first.NextStreamAsync();
            await stream.RequestAsync(TypeUrls.Cluster);
            await stream.RequestAsync(TypeUrls.Listener);
            await stream.SendAsync(TypeUrls.Cluster, "c1");
            await stream.RequestAsync(TypeUrls.Cluster);
            Assert.Equal((true, false, null), (client!.Status.Connected, client.Status.Confirms, client.Status.ConfirmedAt));
            await stream.SendAsync(TypeUrls.Listener, "l1");
            await stream.RequestAsync(TypeUrls.Listener);
            Assert.Equal((true, time.GetUtcNow()), (client.Status.Confirms, client.Status.ConfirmedAt));
            time.Advance(TimeSpan.FromHours(3));
            end = time.GetUtcNow();
        }

        await Mesh.Tests.Eventually.TrueAsync(() => !client.Status.Connected);
        Assert.Equal((false, end), (client.Status.Confirms, client.Status.ConfirmedAt));
        await using var again = await ScriptedControlPlane.StartAsync(int.Parse(channel!.Address.Split(':')[1]));
        var next = await ReconnectAsync(again);
        await next.RequestAsync(TypeUrls.Cluster);
        await next.RequestAsync(TypeUrls.Listener);
        await next.SendAsync(TypeUrls.Cluster, "c1");
        await next.RequestAsync(TypeUrls.Cluster);
        Assert.Equal((true, false, end), (client.Status.Connected, client.Status.Confirms, client.Status.ConfirmedAt));
    }

    [Fact]
    public async Task What_was_kept_serves_until_the_first_full_answer_and_what_is_gone_by_then_goes()
    {
        Restored? kept;
        await using (var first = await ScriptedControlPlane.StartAsync())
        {
            await ServingAsync(first);
            kept = new Restored(publisher!.Good, snapshots.Current);
        }

        await stop.CancelAsync();
        await running;
        using var again = new CancellationTokenSource();
        await using var plane = await ScriptedControlPlane.StartAsync();
        using var other = new GrpcChannel(plane.Address);
        var second = new AdsClient(other, new Node { Id = "sidecar~test" }, publisher, new AdsClock(time, new Randomness(1)), Log.Silent) { Begin = kept.Set };
        var run = second.RunAsync(again.Token);
        var stream = await plane.NextStreamAsync();
        // It says what it has, and asks for what that refers to at once.
        Assert.Equal(("c1", ""), VersionAndNonce(await stream.RequestAsync(TypeUrls.Cluster)));
        Assert.Equal(["a"], (await stream.RequestAsync(TypeUrls.ClusterLoadAssignment)).ResourceNames);
        Assert.Equal("l1", (await stream.RequestAsync(TypeUrls.Listener)).VersionInfo);
        Assert.Equal(["r"], (await stream.RequestAsync(TypeUrls.RouteConfiguration)).ResourceNames);
        await stream.SendAsync(TypeUrls.Cluster, "c1", EdsCluster("a"));
        await stream.RequestAsync(TypeUrls.Cluster);
        await PublishedAsync();
        Assert.False(second.Status.IsFresh);
        await stream.SendAsync(TypeUrls.Listener, "l1", RdsListener("outbound", "r"));
        await stream.RequestAsync(TypeUrls.Listener);
        await PublishedAsync();
        Assert.True(second.Status.IsFresh);
        // The same bytes are the same listener: nothing was taken away in between.
        Assert.Same(kept.Snapshot.Listeners[0], snapshots.Current.Listeners[0]);
        await stream.SendAsync(TypeUrls.Listener, "l2");
        await stream.RequestAsync(TypeUrls.Listener);
        await PublishedAsync();
        Assert.DoesNotContain(snapshots.Current.Listeners, listener => listener is not null);
        await again.CancelAsync();
        await run;
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await running;
        channel?.Dispose();
        stop.Dispose();
        published.Dispose();
    }

    private sealed record Restored(ResourceSet Set, Snapshot Snapshot);

    private static (string, string) VersionAndNonce(Envoy.Service.Discovery.V3.DiscoveryRequest request) => (request.VersionInfo, request.ResponseNonce);

    private void Start(string address, bool captures = false, ResourceSet? begin = null)
    {
        channel = new GrpcChannel(address);
        client = new AdsClient(channel, new Node { Id = "sidecar~test" }, publisher = new SnapshotPublisher(snapshots, time), new AdsClock(time, new Randomness(1)), Log.Silent) { Captures = captures, Begin = begin };
        running = client.RunAsync(stop.Token);
    }

    /// <summary>A stream on which cluster a, listener outbound and route table r have been taken, with all ACKs read.</summary>
    private async Task<ScriptedControlPlane.ScriptedStream> ServingAsync(ScriptedControlPlane plane)
    {
        Start(plane.Address);
        var stream = await plane.NextStreamAsync();
        await stream.RequestAsync(TypeUrls.Cluster);
        await stream.RequestAsync(TypeUrls.Listener);
        await stream.SendAsync(TypeUrls.Cluster, "c1", EdsCluster("a"));
        await stream.RequestAsync(TypeUrls.Cluster);
        await stream.RequestAsync(TypeUrls.ClusterLoadAssignment);
        await stream.SendAsync(TypeUrls.ClusterLoadAssignment, "e1", Endpoints("a", "10.0.0.1"));
        await stream.RequestAsync(TypeUrls.ClusterLoadAssignment);
        await stream.SendAsync(TypeUrls.Listener, "l1", RdsListener("outbound", "r"));
        await stream.RequestAsync(TypeUrls.Listener);
        await stream.RequestAsync(TypeUrls.RouteConfiguration);
        await stream.SendAsync(TypeUrls.RouteConfiguration, "r1", Routes("r", "a"));
        await stream.RequestAsync(TypeUrls.RouteConfiguration);
        await PublishedAsync();
        return stream;
    }

    private async Task PublishedAsync() => Assert.True(await published.WaitAsync(TimeSpan.FromSeconds(60)), "nothing was published");

    /// <summary>Lets the backoff pass until the client is back.</summary>
    private async Task<ScriptedControlPlane.ScriptedStream> ReconnectAsync(ScriptedControlPlane plane)
    {
        var stream = plane.NextStreamAsync();
        while (!stream.IsCompleted)
        {
            if (time.ActiveTimers > 0) time.Advance(TimeSpan.FromSeconds(10));
            await Task.WhenAny(stream, Task.Delay(1));
        }

        return await stream;
    }

    private async Task WaitForTimerAsync()
    {
        for (var i = 0; time.ActiveTimers == 0 && i < 30_000; i++) await Task.Delay(1);
        Assert.NotEqual(0, time.ActiveTimers);
    }

    private static Cluster EdsCluster(string name) => new()
    {
        Name = name,
        Type = Cluster.Types.DiscoveryType.Eds,
        EdsClusterConfig = new Cluster.Types.EdsClusterConfig { EdsConfig = new ConfigSource { Ads = new AggregatedConfigSource() } },
    };

    private static ClusterLoadAssignment Endpoints(string name, string address) => XdsJson.Parser.Parse<ClusterLoadAssignment>(
        $$$$"""{"clusterName": "{{{{name}}}}", "endpoints": [{"lbEndpoints": [{"endpoint": {"address": {"socketAddress": {"address": "{{{{address}}}}", "portValue": 80} } } } ] } ] }""");

    private static RouteConfiguration Routes(string name, string cluster) => XdsJson.Parser.Parse<RouteConfiguration>(
        $$$$"""{"name": "{{{{name}}}}", "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "{{{{cluster}}}}"}}]}]}""");

    private static Listener RdsListener(string name, string routes) => XdsJson.Parser.Parse<Listener>($$$$"""
        {"name": "{{{{name}}}}", "address": {"socketAddress": {"address": "127.0.0.1", "portValue": 15001}}, "filterChains": [{"filters": [{"name": "hcm",
        "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "rds": {"routeConfigName": "{{{{routes}}}}", "configSource": {"ads": {}}},
        "httpFilters": [{"name": "router", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}
        """);
}
