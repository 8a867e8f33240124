using System.Collections.Frozen;
using System.Globalization;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Admin;
using Mesh.ControlPlane.Admin.Login;
using Mesh.ControlPlane.Admin.Metrics;
using Mesh.ControlPlane.Admin.Traffic;
using Mesh.ControlPlane.Destinations;
using Mesh.ControlPlane.Dns;
using Mesh.ControlPlane.Identity;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources;
using Mesh.ControlPlane.Sources.Files;
using Mesh.ControlPlane.Sources.Registry;
using Mesh.ControlPlane.Xds;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using OpenTelemetry.Metrics;

namespace Mesh.ControlPlane;

/// <summary>
/// The control plane as a whole: sources write the world, the feed compiles it, the xDS server hands it out, and operators look at it.
/// Composed by hand, here; owns everything it starts.
/// </summary>
internal sealed class ControlPlaneProgram : IAsyncDisposable
{
    private static readonly TimeSpan StopWithin = TimeSpan.FromSeconds(5);

    /// <summary>How long the start waits for the registry before nodes that have nothing are served without it.</summary>
    private static readonly TimeSpan RegistryPatience = TimeSpan.FromSeconds(15);

    private readonly Options options;
    private readonly TimeProvider time;
    private readonly Log log;
    private readonly CancellationTokenSource stopping = new();
    private readonly BuiltInRegistry? registry;
    private readonly MeshIdentity identity;
    private readonly OperatorsLogin login;
    private readonly WorldStore store;
    private readonly Discovery discovery;
    private readonly FileSource? rules;
    private readonly ConfigFeed feed;
    private readonly ConnectedNodes nodes;
    private readonly XdsMetrics xdsMetrics;
    private readonly AdsServer ads;
    private readonly AddressKeeper? virtualAddresses;
    private readonly DestinationEndpoint destinations;
    private readonly TrafficWindow traffic;
    private readonly TelemetryGate telemetry;
    private readonly MetricsPage metricsPage = new(ControlPlaneMeter.Name);
    private readonly ProcessMetrics processMetrics;
    private readonly MeterProvider? export;
    private readonly List<ServedPort> ports = [];
    private readonly Dictionary<string, string> addresses = new(StringComparer.Ordinal);
    private readonly List<Task> loops = [];

    private ControlPlaneProgram(Options options, BuiltInRegistry? registry, (WorldStore Store, MeshIdentity Identity) begun, TimeProvider time, Log log)
    {
        (this.options, this.registry, (store, identity), this.time, this.log) = (options, registry, begun, time, log);
        login = new OperatorsLogin(OperatorTokens.Open(options.Data), options.OperatorCertificates.ToFrozenDictionary(StringComparer.Ordinal));
        rules = options.Rules is { } folder ? new FileSource(folder, store, time, log.For("rules")) : null;
        discovery = Composition.StartDiscovery(options, registry?.Url, (store, identity), rules?.FirstGood ?? Task.CompletedTask, new SourceClock(time, new Random()), log);
        discovery.Workloads.OnLeft = identity.Left;
        feed = new ConfigFeed(store, time, log.For("xds"));
        var captured = new CapturedNodes(options.Grace, time);
        nodes = new ConnectedNodes(store, feed, captured);
        if (identity.Rotation is { } rotation) rotation.Connected = roots => nodes.Holders(roots);
        store.SetNetwork(options.Network);
        virtualAddresses = Composition.MakeAddresses(options, store, IsComplete, nodes, (time, log.For("addresses")));
        destinations = new DestinationEndpoint(store, captured, IsComplete, time);
        xdsMetrics = new XdsMetrics(() => nodes.Count);
        ads = new AdsServer(new AdsServices(feed, xdsMetrics, options.ReplicaId, time, log.For("xds")), nodes);
        traffic = new TrafficWindow(time);
        telemetry = new TelemetryGate(nodes, log.For("telemetry"));
        processMetrics = new ProcessMetrics(store, Composition.Version);
        export = options.Otlp is { } collector ? OtlpExport.Start(collector, options.ReplicaId, Composition.Version) : null;
        if (registry is not null) addresses["registry"] = registry.Address.ToString();
    }

    /// <summary>The bound addresses by the name of the flag that chose them.</summary>
    public IReadOnlyDictionary<string, string> Addresses => addresses;


    /// <summary>Binds all ports and starts all loops; a <see cref="StartException"/> says what stands in the way, and nothing is left running.</summary>
    public static async Task<ControlPlaneProgram> StartAsync(Options options, TimeProvider time, Log log)
    {
        var logs = new LogAdapter(log);
        var builtIn = options.Consul is null ? await Composition.StartRegistryAsync(options, time, logs) : null;
        var world = new WorldStore();
        MeshIdentity? credentials = null;
        ControlPlaneProgram? program = null;
        try
        {
            credentials = await Composition.StartIdentityAsync(options, world, time, log.For("identity"));
            program = new ControlPlaneProgram(options, builtIn, (world, credentials), time, log);
            await program.ServeAsync(logs);
            program.StartLoops();
            return program;
        }
        catch (Exception e)
        {
            if (program is null) credentials?.Dispose();
            if (program is not null) await program.DisposeAsync();
            else if (builtIn is not null) await builtIn.DisposeAsync();
            throw e is IOException or UnauthorizedAccessException ? new StartException(e.Message, e) : e;
        }
    }

    /// <summary>One line for each thing somebody may want to connect to or look at.</summary>
    public void LogBanner()
    {
        log.Info("mesh control plane", ("version", Composition.Version), ("replica", options.ReplicaId));
        foreach (var (name, address) in addresses) log.Info("listening", ("for", name), ("address", address));
        log.Info("services come from", ("registry", options.Consul?.ToString() ?? "built in"), ("data", options.Consul is null ? options.Data : "Consul's own"));
        log.Info("rules come from", ("folder", options.Rules ?? "none, see --rules"));
    }

    /// <summary>
    /// Runs until <paramref name="stop"/>, or until a loop fails (then it answers false); then ends streams with UNAVAILABLE and lets
    /// requests finish, for 5 seconds at most.
    /// </summary>
    public async Task<bool> RunUntilAsync(CancellationToken stop)
    {
        var ended = await Task.WhenAny([.. loops, Task.Delay(Timeout.InfiniteTimeSpan, time, stop)]);
        if (ended.IsFaulted) log.Error("a part of the control plane failed, which is a bug", ("error", ended.Exception.GetBaseException()));
        log.Info("stopping");
        await StopAsync();
        return !ended.IsFaulted;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        // It sends what is left, so before the parts that are measured.
        export?.Dispose();
        foreach (var port in ports) await port.DisposeAsync();
        ads.Dispose();
        feed.Dispose();
        virtualAddresses?.Dispose();
        destinations.Dispose();
        rules?.Dispose();
        discovery.Dispose();
        identity.Dispose();
        if (registry is not null) await registry.DisposeAsync();
        xdsMetrics.Dispose();
        telemetry.Dispose();
        processMetrics.Dispose();
        metricsPage.Dispose();
        stopping.Dispose();
    }

    private async Task ServeAsync(LogAdapter logs)
    {
        await ServeAsync("health", [options.Health], ServedPort.Http1, MapHealth, logs);
        await ServeAsync("operators", [options.Operators], ServedPort.Http1, MapOperators, logs);
        await ServeAsync("meshApi", options.MeshApi, identity.Tls.Configure, MapMeshApi, logs);
        TellPorts();
        await ServeAsync("xds", options.Xds, ServedPort.Grpc, MapPlaintextXds, logs);
    }

    private async Task ServeAsync(string name, IReadOnlyList<ListenAddress> on, Action<ListenOptions> listen, Action<WebApplication> map, LogAdapter logs)
    {
        if (on.Count == 0) return;
        var port = await ServedPort.StartAsync(name, on, listen, map, logs);
        ports.Add(port);
        addresses[name] = port.Addresses[0];
        for (var i = 1; i < port.Addresses.Count; i++) addresses[$"{name}-{i + 1}"] = port.Addresses[i];
    }

    // Sidecars must not take these for the mesh's own workloads.
    private void TellPorts() => store.SetNetwork(options.Network with
    {
        ControlPlanePorts = [.. addresses.Where(address => address.Key.StartsWith("meshApi", StringComparison.Ordinal)).Select(address => address.Value[(address.Value.LastIndexOf(':') + 1)..])
            .Where(port => ushort.TryParse(port, out _)).Select(port => int.Parse(port, CultureInfo.InvariantCulture))],
    });

    private void MapHealth(WebApplication application) => new HealthEndpoints(metricsPage, NotReady).Map(application);

    private void MapOperators(WebApplication application)
    {
        application.Use(LoopbackHost.CheckAsync);
        application.Use(login.ByTokenAsync);
        MapOperatorsApi(application);
        OperatorsEndpoints.MapUnknown(application);
    }

    private void MapOperatorsApi(WebApplication application)
    {
        application.Use(OperatorsEndpoints.ReadsOnlyAsync);
        var marked = application.MapGroup("").WithMetadata(OperatorsOnly.Mark);
        new AuthorityEndpoints(identity, time).Map(marked);
        new IdentityEndpoints(identity, new IdentityReport(identity, store, nodes), time).Map(marked);
        var world = new WorldReport(store, () => Composition.SourcesReport(options, discovery, rules));
        new OperatorsEndpoints(store, nodes, feed, traffic, world).Map(marked);
    }

    private void MapMeshApi(WebApplication application)
    {
        identity.Map(application);
        application.Use(login.ByCertificateAsync);
        MapOperatorsApi(application);
        ads.Map(application);
        discovery.Workloads.Map(application);
        destinations.Map(application);
        new TelemetryEndpoint(traffic, telemetry, stopping.Token).Map(application);
        application.MapGrpcUnknown();
    }

    // Nobody proves who he is here, so nobody is taken at his word: there is nothing but configuration to read.
    private void MapPlaintextXds(WebApplication application)
    {
        ads.Map(application);
        application.MapGrpcUnknown();
    }

    private void StartLoops()
    {
        loops.Add(identity.RunAsync(stopping.Token));
        loops.Add(discovery.RunAsync(stopping.Token));
        if (rules is not null) loops.Add(rules.RunAsync(stopping.Token));
        if (virtualAddresses is not null) loops.Add(virtualAddresses.RunAsync(stopping.Token));
        loops.Add(feed.RunAsync(ReadyAsync(), stopping.Token));
    }

    /// <summary>Done when nodes are handed a configuration: the registry was read once, or waited for long enough, and the rules are good.</summary>
    private async Task ReadyAsync()
    {
        var patience = Task.Delay(RegistryPatience, time, stopping.Token);
        if (await Task.WhenAny(discovery.Source.Synced, patience) == patience)
        {
            await patience;
            log.Warn("the registry does not answer: nodes that have a configuration keep it, others get what rules and registered workloads give");
        }

        if (rules is not null) await rules.FirstGood;
        if (virtualAddresses is not null) await Task.WhenAny(virtualAddresses.Loaded, patience);
    }

    /// <summary>True while all sources have told all they know.</summary>
    private bool IsComplete() =>
        discovery.Source.Synced.IsCompletedSuccessfully && rules?.FirstGood.IsCompletedSuccessfully != false
        && store.Current.Unread is { Everything: false, Names.Count: 0 };

    private string? NotReady()
    {
        if (feed.Current is not null) return null;
        if (!discovery.Source.Synced.IsCompleted) return "the registry has not been read yet";
        return rules is { FirstGood.IsCompleted: false, Status.Errors: [var first, ..] } ? $"there is no good set of rules yet: {first}" : "the first world is not complete yet";
    }

    private async Task StopAsync()
    {
        if (stopping.IsCancellationRequested) return;
        await stopping.CancelAsync();
        ads.Stop();
        using var limit = new CancellationTokenSource(StopWithin, time);
        foreach (var loop in loops) await EndAsync(loop, limit.Token);
        foreach (var port in ports)
        {
            if (!await EndAsync(port.StopAsync(limit.Token), limit.Token))
                log.Warn("requests were cut off at the stop", ("port", string.Join(',', port.Addresses)));
        }
    }

    // Cancelled is how loops end; what failed was reported when it did.
    private static async Task<bool> EndAsync(Task task, CancellationToken limit)
    {
        await task.WaitAsync(limit).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return task.IsCompletedSuccessfully;
    }
}
