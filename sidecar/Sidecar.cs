using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Google.Protobuf;
using Mesh.Api.Destinations;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.Api.Workloads;
using Mesh.Api.Xds;
using Mesh.Sidecar.Admin;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Registration;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Tcp;
using Mesh.Sidecar.Telemetry;
using Mesh.Sidecar.Xds;

namespace Mesh.Sidecar;

/// <summary>
/// The program put together: bind, serve, follow the control plane, register, and at the end leave, drain, close. Reads top to bottom.
/// Made, run once and disposed by Main.
/// </summary>
internal sealed class Sidecar : IAsyncDisposable
{
    private const int Failed = 1;

    /// <summary>How long callers get to hear that this workload leaves before its listeners do.</summary>
    private static readonly TimeSpan WordGetsAround = TimeSpan.FromSeconds(1);

    /// <summary>The part of the drain time that inbound connections cannot use up.</summary>
    private const double OutboundShare = 0.25;

    private readonly Flags flags;
    private readonly TimeProvider time;
    private readonly Log log;
    private readonly Life life = new();
    private readonly Randomness random = new(Randomness.NewSeed());
    private readonly CancellationTokenSource stop = new();
    private readonly BoundSockets sockets = new();
    private readonly Snapshots snapshots = new();
    private readonly SidecarMetrics own = new();
    private readonly SnapshotPublisher publisher;
    private readonly GrpcChannel? channel;
    private readonly WorkloadIdentity? identity;
    private readonly Security security;
    private readonly StaticSource? file;
    private readonly LastGood? lastGood;
    private AdsClient? ads;
    private RegistrationClient? registration;
    private Func<string> captureNote = () => "";
    private Task? left;

    public Sidecar(Flags flags, TimeProvider time, Log log)
    {
        (this.flags, this.time, this.log) = (flags, time, log);
        publisher = new SnapshotPublisher(snapshots, time);
        security = new Security(time);
        if (flags.IsSecured) identity = new WorkloadIdentity(flags, security, time, new Random(), log.For("identity"));
        if (flags.StateDir is not null) lastGood = new LastGood(flags.StateDir, time, own, log.For("state"));
        if (flags.ControlPlane is not null) channel = new GrpcChannel(flags.ControlPlaneUrl, identity?.ChannelOptions ?? new GrpcChannelOptions { Time = time });
        if (flags.Static is not null) file = new StaticSource(flags.Static, publisher, time, log.For("static"));
    }

    /// <summary>Runs until somebody ends it; the exit code.</summary>
    public async Task<int> RunAsync()
    {
        try
        {
            return await ServeAsync();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A port that is taken, a file that cannot be written: one line says it.
            log.Error(e.Message);
            return Failed;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (identity is not null) await identity.DisposeAsync();
        life.Dispose();
        sockets.Dispose();
        channel?.Dispose();
        stop.Dispose();
    }

    private async Task<int> ServeAsync()
    {
        // 1. Sockets, so that a taken port ends it here and the bound ones can be told.
        var workload = Bindings.Bind(lastGood?.Remember(flags) ?? flags, sockets, MakeId);
        if (file?.Load() is { Count: > 0 } errors) return Refuse(errors);
        foreach (var listener in snapshots.Current.Listeners) sockets.Bind(listener!.Name, listener.Address, CaptureTerms.Of(listener));
        // Whoever sees it serve may end it.
        life.HearSignals(reload: () => file?.Reload());

        // 2. What is observed.
        own.Observe("mesh_sidecar_snapshot_number", "Number of the configuration that serves.", grows: false, () => snapshots.Current.Number);
        var traffic = new TrafficSeries(time, TelemetrySink.DefaultBudget, own);
        var instruments = new Instruments(traffic, own);
        await using var accessLog = flags.AccessLog == AccessLogMode.Off ? null : new AccessLog(flags.AccessLog, flags.AccessLogFormat, Console.OpenStandardOutput(), own.AccessLogDropped, time);
        var self = workload.Peer();
        using var otlp = OtlpExport.Start(flags.Otlp, new OtlpResource(self.Service, self.Namespace, self.Version, self.Workload), log.For("otlp"));
        var sink = new TelemetrySink(own, traffic, instruments, accessLog);

        // 3. The surfaces for people and machines; readiness says why not yet.
        using var rules = workload.Capture is null ? null : new RulesWatch(MachineAddress.Find, TakesCaptured, time, log.For("capture"));
        await using var data = new DataPath(snapshots, sockets, new DataPathSettings { IsProbe = rules is null ? _ => false : rules.Took, Self = self, DrainBound = flags.DrainTime, MaxTcpAge = flags.MaxConnectionAge, Security = security, AskDestination = identity is null ? null : AskAsync }, sink, time, log);
        await using var names = NameServer.Start(workload, sockets, snapshots, own, time, log.For("dns"));
        await using var admin = new AdminServer(new AdminAddresses(flags.Admin, flags.Metrics, flags.Readiness), Sources(workload, traffic, data) with { Dns = () => names });
        // Traffic first: who started the application waits for that.
        await data.StartAsync(stop.Token);
        await StartAsync(admin);
        data.Own.Add([.. workload.Capture?.Dns ?? []]);
        data.Own.Add(admin.Bound.Admin, admin.Bound.Metrics, admin.Bound.Readiness);
        // Not before it is known which ports are nobody's: what was kept serves from here on.
        if (flags.ControlPlane is not null) Begin(workload, data.Destinations);
        if (identity is not null) await identity.ShareAsync();
        if (flags.PortsFile is not null) Bindings.Write(flags.PortsFile, workload, admin.Bound);

        // 4. Whom to listen to.
        List<Task> loops = [.. Follow(workload, data.Destinations), new MemoryTrim(time, () => data.Open, () => GC.CollectionCount(0)).RunAsync(stop.Token), .. Watch(rules)];
        await using var edges = new EdgeReporter(identity is null ? null : CertifiedChannelAsync(), traffic, workload.NodeId, time, random, log.For("telemetry"));
        log.Info("started", ("version", Program.Version), ("workload", workload.Id), ("outbound", workload.Outbound), ("admin", admin.Bound.Admin));

        // 5. Until the end is asked for, or a loop dies, which none may.
        var ended = await Task.WhenAny(loops.Append(life.Ending));
        if (ended.IsFaulted) log.Error("a fault ends this sidecar", ("error", ended.Exception));
        await StopAsync(data, loops, ended == life.Ending ? await life.Ending : "fault");
        return ended.IsFaulted ? Failed : 0;
    }

    /// <summary>The loop that looks whether rules bring traffic here, where it is captured.</summary>
    private Task[] Watch(RulesWatch? rules)
    {
        if (rules is null) return [];
        captureNote = () => rules.Note;
        own.Observe("mesh_sidecar_capture_rules", "1 while rules of the kernel bring this workload's traffic here.", grows: false, () => rules.AreThere ? 1 : 0);
        own.Observe("mesh_sidecar_capture_rules_lost_total", "Times that those rules were there and went.", grows: true, () => rules.Lost);
        return [rules.RunAsync(stop.Token)];
    }

    /// <summary>Whether the inbound port is open for captured traffic: otherwise a refusal says nothing about rules.</summary>
    private bool TakesCaptured() => Ready().IsReady && snapshots.Current.Listeners.Any(l => l is { Direction: Direction.Inbound } and ({ IsCaptured: true } or { IsTransparent: true }));

    private async Task StartAsync(AdminServer admin)
    {
        try
        {
            await admin.StartAsync(stop.Token);
        }
        catch (SocketException e)
        {
            throw new IOException($"cannot listen on --admin {flags.Admin}, --metrics {flags.Metrics} or --readiness {flags.Readiness}: {e.Message}", e);
        }
    }

    /// <summary>The client of the control plane, and what serves before that is heard: what was good last, where it is kept.</summary>
    private void Begin(Workload workload, DestinationVerdicts verdicts)
    {
        var node = NodeDescription.Of(workload, Program.Version);
        var wanted = AdsClient.Wanted(workload.Capture is not null, workload.Capture is { Dns.IsEmpty: false });
        identity?.Observe(own);
        if (identity is not null) snapshots.TrustChanged += identity.Follow;
        var begin = identity is null ? null : lastGood?.Restore(node, wanted, identity);
        ads = new AdsClient(channel!, node, publisher, new AdsClock(time, random), log.For("xds")) { IsSecured = identity is not null, Begin = begin ?? wanted };
        if (begin is null) return;
        lastGood!.GiveBack(verdicts);
        publisher.TellTrust(begin);
        publisher.Publish(begin);
    }

    /// <summary>The loops that bring configuration and keep the workload registered.</summary>
    private List<Task> Follow(Workload workload, DestinationVerdicts verdicts)
    {
        if (file is not null) return [file.RunAsync(stop.Token)];
        var client = ads!;
        own.Observe("mesh_sidecar_xds_accepted_total", "Answers of the control plane accepted.", grows: true, () => client.Status.Accepted);
        own.Observe("mesh_sidecar_xds_refused_total", "Answers of the control plane refused (NACK).", grows: true, () => client.Status.Refused);
        own.Observe("mesh_sidecar_xds_streams_total", "Streams to the control plane opened.", grows: true, () => client.Status.Connects);
        own.Observe("mesh_sidecar_xds_connected", "1 while the control plane is followed.", grows: false, () => client.Status.Connected ? 1 : 0);
        if (identity is null)
        {
            // Over plaintext nobody is anybody: configuration is all there is.
            if (!workload.Ports.IsEmpty) log.Warn("not registered: a control plane in plaintext takes no registrations", ("address", flags.ControlPlane));
            return [client.RunAsync(stop.Token)];
        }

        var addresses = workload.Capture is null ? null : new OwnAddresses(IPAddress.Parse(workload.Address), MachineAddress.All, ProveAsync, time, log.For("registration"));
        var settings = new RegistrationSettings(flags.HealthPath, time, random) { MoreAddresses = () => addresses?.Current ?? [] };
        registration = new RegistrationClient(channel!, workload, settings, log.For("registration"));
        var keeping = lastGood?.RunAsync(new KeptSources(NodeDescription.Of(workload, Program.Version), identity, publisher, snapshots, client, verdicts), stop.Token);
        return [.. keeping is null ? Array.Empty<Task>() : [keeping], identity.RunAsync(stop.Token), OnceCertifiedAsync(() => client.RunAsync(stop.Token)), OnceCertifiedAsync(() => KeepRegisteredAsync(registration)), .. addresses is null ? Array.Empty<Task>() : [OnceCertifiedAsync(() => addresses.RunAsync(stop.Token))]];
    }

    private Task<DestinationAnswer> AskAsync(DestinationQuery query, CancellationToken cancel) => channel!.UnaryAsync(DestinationMethods.Lookup, query, new CallOptions(), cancel);

    /// <summary>A proof for an address, over a connection from it; that one is closed again.</summary>
    private async Task<AddressProof> ProveAsync(IPAddress from, CancellationToken cancel)
    {
        using var thence = new GrpcChannel(flags.ControlPlaneUrl, identity!.ChannelOptions with { LocalAddress = from });
        return await thence.UnaryAsync(WorkloadMethods.ProveAddress, new AddressQuery(), new CallOptions(), cancel);
    }

    /// <summary>Begins what needs the control plane when there is a certificate to show it.</summary>
    private async Task OnceCertifiedAsync(Func<Task> begin)
    {
        await identity!.CertifiedAsync(stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!stop.IsCancellationRequested) await begin();
    }

    private async Task<GrpcChannel> CertifiedChannelAsync()
    {
        await identity!.CertifiedAsync(stop.Token);
        return channel!;
    }

    /// <summary>A workload without ports has nothing to register; that is no end of a loop.</summary>
    private async Task KeepRegisteredAsync(RegistrationClient client)
    {
        await client.RunAsync();
        await Task.Delay(Timeout.InfiniteTimeSpan, time, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task StopAsync(DataPath data, List<Task> loops, string reason)
    {
        var begun = time.GetTimestamp();
        TimeSpan Left() => flags.DrainTime - time.GetElapsedTime(begun) is { Ticks: > 0 } left ? left : TimeSpan.Zero;
        log.Info("stopping", ("reason", reason), ("at_most_s", flags.DrainTime.TotalSeconds));
        await LeaveAsync(data, $"stopping: {reason}");
        await data.StopAsync(Left());
        registration?.Leave();
        await stop.CancelAsync();
        await Task.WhenAll(loops).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        log.Info("stopped", ("after_ms", (long)time.GetElapsedTime(begun).TotalMilliseconds));
    }

    /// <summary>
    /// Not ready any more, withdrawn from the registry, and when callers have heard of it, inbound drained. Outbound goes on, since inbound
    /// requests may still call, and has a quarter of the drain time for itself after that: an inbound stream that never ends must not cut
    /// them. Once: who asks again gets the same task.
    /// </summary>
    private Task LeaveAsync(DataPath data, string reason)
    {
        lock (life) return left ??= LeaveOnceAsync(data, reason);
    }

    private async Task LeaveOnceAsync(DataPath data, string reason)
    {
        var begun = time.GetTimestamp();
        life.Drain(reason);
        if (registration is { Registered: true, IsClient: false } registered)
        {
            registered.Leave();
            await Task.Delay(flags.DrainTime < WordGetsAround ? flags.DrainTime : WordGetsAround, time, CancellationToken.None);
        }

        var bound = flags.DrainTime * (1 - OutboundShare) - time.GetElapsedTime(begun);
        await data.DrainInboundAsync(bound > TimeSpan.Zero ? bound : TimeSpan.Zero);
    }

    private AdminSources Sources(Workload workload, TrafficSeries traffic, DataPath data) => new()
    {
        Snapshots = snapshots,
        Metrics = new Exposition(traffic, own),
        Own = own,
        Log = log,
        Time = time,
        Certificates = () => security.Own.Current is { } credentials ? [credentials] : [],
        RenewCertificate = identity is { } workloads ? workloads.RenewAsync : null,
        Verdicts = () => data.Verdicts.All.Select(v => new LearnedVerdict(v.Of.Direction == Direction.Inbound ? "inbound" : "outbound", v.Of.Cluster, v.Of.Address?.ToString() ?? "", v.Until)),
        Node = (workload.NodeId, workload.Service),
        Readiness = Ready,
        Accepted = () => publisher.Serving.Raw().Select(Accepted),
        Quit = () => life.Quit("/quitquitquit"),
        DrainListeners = () => LeaveAsync(data, "draining: /drain_listeners"),
    };

    private Readiness Ready()
    {
        var readiness = life.Readiness(WaitingFor());
        return readiness.IsReady ? readiness with { Note = string.Join('\n', ((string?[])[lastGood?.Note, captureNote()]).Where(note => note is { Length: > 0 })) } : readiness;
    }

    private string WaitingFor()
    {
        if (registration is { Refusal.Length: > 0 } refused) return $"the control plane refuses this workload: {refused.Refusal}";
        if (identity is { WaitingFor.Length: > 0 } uncertified) return uncertified.WaitingFor;
        if (snapshots.Current.Number > 0) return publisher.Serving.Lacks;
        return ads?.Status.Trouble ?? "starting";
    }

    private AcceptedResource Accepted(Google.Protobuf.WellKnownTypes.Any any)
    {
        IMessage message = any.TypeUrl switch
        {
            TypeUrls.Listener => Envoy.Config.Listener.V3.Listener.Parser.ParseFrom(any.Value),
            TypeUrls.Cluster => Envoy.Config.Cluster.V3.Cluster.Parser.ParseFrom(any.Value),
            TypeUrls.MeshRanges => Mesh.Api.V1.MeshRanges.Parser.ParseFrom(any.Value),
            TypeUrls.NameTable => Mesh.Api.V1.NameTable.Parser.ParseFrom(any.Value),
            TypeUrls.Secret => Envoy.Extensions.TransportSockets.Tls.V3.Secret.Parser.ParseFrom(any.Value),
            TypeUrls.RouteConfiguration => Envoy.Config.Route.V3.RouteConfiguration.Parser.ParseFrom(any.Value),
            _ => Envoy.Config.Endpoint.V3.ClusterLoadAssignment.Parser.ParseFrom(any.Value),
        };
        return new AcceptedResource(any.TypeUrl, TypeUrls.NameOf(message) ?? "", publisher.Serving.Versions.GetValueOrDefault(any.TypeUrl, ""), message);
    }

    private int Refuse(IReadOnlyList<string> errors)
    {
        foreach (var error in errors) log.Error(error);
        return Failed;
    }

    private string MakeId() =>
        string.Create(CultureInfo.InvariantCulture, $"{(flags.Service.Length > 0 ? flags.Service : "client")}-{(uint)random.NextBits():x8}");
}
