using System.Collections.Immutable;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Destinations;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Xds;
using Mesh.Tests;
using Microsoft.AspNetCore.Builder;

namespace Mesh.ControlPlane.Tests.Xds;

/// <summary>The ADS server on a real port with a world that the test writes. For one test.</summary>
internal sealed class AdsTestServer : IAsyncDisposable
{
    private readonly CancellationTokenSource stop = new();
    /// <summary>How long who left counts as there.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(10);

    private readonly XdsMetrics metrics;
    private readonly DestinationEndpoint lookups;
    private readonly Task loop;
    private ServedPort port = null!;

    private AdsTestServer(Task ready, TimeProvider time, string[] instances)
    {
        SetInstances(instances);
        Feed = new ConfigFeed(Store, TimeProvider.System, Log.Silent);
        Captured = new CapturedNodes(Grace, time);
        Nodes = new ConnectedNodes(Store, Feed, Captured);
        lookups = new DestinationEndpoint(Store, Captured, () => true, time);
        metrics = new XdsMetrics(() => Nodes.Count);
        Ads = new AdsServer(new AdsServices(Feed, metrics, "test", time, Log.To(Output, Level.Info, TimeProvider.System)), Nodes);
        loop = Feed.RunAsync(ready, stop.Token);
    }

    public LogLines Output { get; } = new();

    public WorldStore Store { get; } = new();

    public ConfigFeed Feed { get; }

    public CapturedNodes Captured { get; }

    public ConnectedNodes Nodes { get; }

    public AdsServer Ads { get; }

    public GrpcChannel Channel { get; private set; } = null!;

    public string Address => port.Addresses[0];

    public static Task<AdsTestServer> StartAsync(params string[] instances) => StartAsync(Task.CompletedTask, instances);

    public static Task<AdsTestServer> StartAsync(Task ready, params string[] instances) => StartAsync(ready, TimeProvider.System, instances);

    public static async Task<AdsTestServer> StartAsync(Task ready, TimeProvider time, params string[] instances)
    {
        var server = new AdsTestServer(ready, time, instances);
        server.port = await ServedPort.StartAsync("xds", [ListenAddress.Parse("127.0.0.1:0")], ServedPort.Grpc, server.Map, new LogAdapter(Log.Silent));
        server.Channel = new GrpcChannel(server.Address);
        return server;
    }

    /// <summary>Instances as "web-1 web 127.0.0.1:8080": id, service, address.</summary>
    public void SetInstances(params string[] instances) => Store.SetInstances("test", [.. instances.Select(Instance)]);

    public async ValueTask DisposeAsync()
    {
        Ads.Stop();
        await stop.CancelAsync();
        await loop.ContinueWith(_ => { }, TaskScheduler.Default);
        Channel.Dispose();
        await port.DisposeAsync();
        Ads.Dispose();
        Feed.Dispose();
        metrics.Dispose();
        lookups.Dispose();
        stop.Dispose();
    }

    private void Map(WebApplication application)
    {
        TestCaller.Use(application);
        Ads.Map(application);
        lookups.Map(application);
    }

    private static Instance Instance(string text)
    {
        var parts = text.Split(' ');
        var at = parts[2].Split(':');
        var number = int.Parse(at[1]);
        return new Instance
        {
            Id = parts[0],
            Namespace = "default",
            Service = parts[1],
            Address = at[0],
            Ports = [new InstancePort("http", number, AppProtocol.Http, number)],
            Labels = ImmutableSortedDictionary<string, string>.Empty.Add("app", parts[1]),
            Workload = parts[1],
            Source = new Provenance("Test", "default", parts[0], "test:1"),
        };
    }
}
