using System.Reflection;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Admin;
using Mesh.ControlPlane.Admin.Metrics;
using Mesh.ControlPlane.Admin.Traffic;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources.Files;
using Mesh.ControlPlane.Xds;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Mesh.ControlPlane;

/// <summary>
/// The control plane as a whole: sources write the world, the feed compiles it, the xDS server hands it out, and operators look at it.
/// Composed by hand, here; owns everything it starts.
/// </summary>
internal sealed class ControlPlaneProgram : IAsyncDisposable
{
    private static readonly TimeSpan StopWithin = TimeSpan.FromSeconds(5);
    private readonly Options options;
    private readonly TimeProvider time;
    private readonly Log log;
    private readonly CancellationTokenSource stopping = new();
    private readonly WorldStore store = new();
    private readonly ConnectedNodes nodes;
    private readonly ConfigFeed feed;
    private readonly XdsMetrics xdsMetrics;
    private readonly AdsServer ads;
    private readonly TrafficWindow traffic;
    private readonly MetricsPage metricsPage = new("Mesh.ControlPlane");
    private readonly ProcessMetrics processMetrics;
    private readonly List<ServedPort> ports = [];
    private readonly Dictionary<string, string> addresses = new(StringComparer.Ordinal);
    private readonly List<Task> loops = [];
    private readonly Discovery discovery;
    private FileSource? rules;

    private ControlPlaneProgram(Options options, TimeProvider time, Log log)
    {
        (this.options, this.time, this.log) = (options, time, log);
        feed = new ConfigFeed(store, time);
        nodes = new ConnectedNodes(store, feed);
        xdsMetrics = new XdsMetrics(() => nodes.Count);
        ads = new AdsServer(new AdsServices(feed, xdsMetrics, time, log.For("xds")), nodes);
        traffic = new TrafficWindow(time);
        discovery = new Discovery(options, options.Consul, store, time, log);
        processMetrics = new ProcessMetrics(store, Version);
    }

    /// <summary>Version of the program, with the commit it was built from.</summary>
    public static string Version { get; } =
        typeof(ControlPlaneProgram).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    /// <summary>The bound addresses by the name of the flag that chose them.</summary>
    public IReadOnlyDictionary<string, string> Addresses => addresses;

    /// <summary>Binds all ports and starts all loops; a <see cref="StartException"/> says what stands in the way, and nothing is left running.</summary>
    public static async Task<ControlPlaneProgram> StartAsync(Options options, TimeProvider time, Log log)
    {
        var program = new ControlPlaneProgram(options, time, log);
        try
        {
            await program.StartAsync();
            return program;
        }
        catch
        {
            await program.DisposeAsync();
            throw;
        }
    }

    /// <summary>One line for each thing somebody may want to connect to or look at.</summary>
    public void LogBanner()
    {
        log.Info("mesh control plane", ("version", Version), ("replica", options.ReplicaId));
        foreach (var (name, address) in addresses) log.Info("listening", ("for", name), ("address", address));
    }

    /// <summary>Runs until <paramref name="stop"/>, or until a loop fails; then ends streams with UNAVAILABLE and lets requests finish, for 5 seconds at most.</summary>
    public async Task RunUntilAsync(CancellationToken stop)
    {
        var failed = await Task.WhenAny([.. loops, Task.Delay(Timeout.InfiniteTimeSpan, time, stop)]);
        if (failed.IsFaulted) log.Error("a part of the control plane failed, which is a bug", ("error", failed.Exception.GetBaseException()));
        log.Info("stopping");
        await StopAsync();
        if (failed.IsFaulted) await failed;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        foreach (var port in ports) await port.DisposeAsync();
        ads.Dispose();
        discovery.Dispose();
        rules?.Dispose();
        feed.Dispose();
        xdsMetrics.Dispose();
        processMetrics.Dispose();
        metricsPage.Dispose();
        stopping.Dispose();
    }

    private async Task StartAsync()
    {
        if (options.Rules is { } folder) rules = new FileSource(folder, store, time, log.For("rules"));
        var logs = new LogAdapter(log);
        await ListenAsync("health", [options.Health], HttpProtocols.Http1, MapHealth, logs);
        await ListenAsync("operators", [options.Operators], HttpProtocols.Http1, MapOperators, logs);
        await ListenAsync("xds", options.Xds, HttpProtocols.Http2, MapXds, logs);
        loops.Add(discovery.RunAsync(stopping.Token));
        if (rules is not null) loops.Add(rules.RunAsync(stopping.Token));
        loops.Add(feed.RunAsync(Task.WhenAll(discovery.Synced, rules?.FirstGood ?? Task.CompletedTask), stopping.Token));
    }

    private async Task ListenAsync(string name, IReadOnlyList<ListenAddress> on, HttpProtocols protocols, Action<WebApplication> map, LogAdapter logs)
    {
        var port = await ServedPort.StartAsync(name, on, protocols, map, logs);
        ports.Add(port);
        addresses[name] = port.Addresses[0];
        for (var i = 1; i < port.Addresses.Count; i++) addresses[$"{name}-{i + 1}"] = port.Addresses[i];
    }

    private void MapHealth(WebApplication application) => new HealthEndpoints(metricsPage, NotReady).Map(application);

    private void MapOperators(WebApplication application)
    {
        application.Use(LoopbackHost.CheckAsync);
        application.Use(OperatorsEndpoints.ReadsOnlyAsync);
        new OperatorsEndpoints(store, nodes, feed, traffic, new WorldReport(store, () => new { Discovery = discovery.Status, Rules = rules?.Status })).Map(application);
    }

    private void MapXds(WebApplication application)
    {
        ads.Map(application);
        discovery.Map(application);
        new TelemetryEndpoint(traffic, stopping.Token).Map(application);
        application.MapGrpcUnknown();
    }

    private string? NotReady()
    {
        if (feed.Current is not null) return null;
        return rules is { FirstGood.IsCompleted: false, Status.Errors: [var first, ..] } ? $"there is no good set of rules yet: {first}" : "the first world is not complete yet";
    }

    private async Task StopAsync()
    {
        if (stopping.IsCancellationRequested) return;
        await stopping.CancelAsync();
        ads.Stop();
        discovery.Close();
        using var limit = new CancellationTokenSource(StopWithin, time);
        foreach (var port in ports)
        {
            try
            {
                await port.StopAsync(limit.Token);
            }
            catch (OperationCanceledException)
            {
                log.Warn("requests were cut off at the stop", ("port", string.Join(',', port.Addresses)));
            }
        }

        foreach (var loop in loops)
        {
            try
            {
                await loop.WaitAsync(limit.Token);
            }
            catch (Exception e) when (e is OperationCanceledException || loop.IsFaulted)
            {
                // Cancelled is how loops end; what failed was reported when it did.
            }
        }
    }
}
