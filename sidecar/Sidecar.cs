using System.Globalization;
using System.Net.Sockets;
using Mesh.Api.Logging;
using Mesh.Sidecar.Admin;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
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
    private readonly Security security;
    private readonly StaticSource? file;
    private readonly LastGood? lastGood;
    private readonly Membership? membership;
    private Func<string> captureNote = () => "";
    private Task? left;

    public Sidecar(Flags flags, TimeProvider time, Log log)
    {
        (this.flags, this.time, this.log) = (flags, time, log);
        publisher = new SnapshotPublisher(snapshots, time);
        security = new Security(time);
        if (flags.StateDir is not null) lastGood = new LastGood(flags.StateDir, time, own, log.For("state"));
        if (flags.ControlPlane is not null) membership = new Membership(flags, new MembershipParts(security, snapshots, publisher, own, lastGood), time, random, log);
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
        if (membership is not null) await membership.DisposeAsync();
        life.Dispose();
        sockets.Dispose();
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
        await using var data = new DataPath(snapshots, sockets, new DataPathSettings { IsProbe = rules is null ? _ => false : rules.Took, Self = self, DrainBound = flags.DrainTime, MaxTcpAge = flags.MaxConnectionAge, Security = security, AskDestination = membership?.Ask }, sink, time, log);
        await using var names = NameServer.Start(workload, sockets, snapshots, own, time, log.For("dns"));
        await using var admin = new AdminServer(new AdminAddresses(flags.Admin, flags.Metrics, flags.Readiness), Sources(workload, traffic, data) with { Dns = () => names });
        // Traffic first: who started the application waits for that.
        await data.StartAsync(stop.Token);
        await StartAsync(admin);
        data.Own.Add([.. workload.Capture?.Dns ?? []]);
        data.Own.Add(admin.Bound.Admin, admin.Bound.Metrics, admin.Bound.Readiness);
        // Not before it is known which ports are nobody's: what was kept serves from here on.
        membership?.Begin(workload, data.Destinations);
        if (membership is not null) await membership.ShareAsync();
        if (flags.PortsFile is not null) Bindings.Write(flags.PortsFile, workload, admin.Bound);

        // 4. Whom to listen to.
        List<Task> loops = [.. Follow(workload, data.Destinations), new MemoryTrim(time, () => data.Open, () => GC.CollectionCount(0)).RunAsync(stop.Token), .. Watch(rules)];
        await using var edges = new EdgeReporter(membership is { IsProven: true } proven ? proven.CertifiedChannelAsync(stop.Token) : null, traffic, workload.NodeId, time, random, log.For("telemetry"));
        log.Info("started", ("version", Program.Version), ("workload", workload.Id), ("outbound", workload.Outbound), ("admin", admin.Bound.Admin));

        // 5. Until the end is asked for, or a loop dies, which none may.
        var ended = await Task.WhenAny(loops.Append(life.Ending));
        if (ended.IsFaulted) log.Error("a fault ends this sidecar", ("error", ended.Exception));
        await StopAsync(data, loops, ended == life.Ending ? await life.Ending : "fault");
        return ended.IsFaulted ? Failed : 0;
    }

    /// <summary>The loops that bring configuration: of a file, or of the control plane.</summary>
    private List<Task> Follow(Workload workload, DestinationVerdicts verdicts) =>
        file is not null ? [file.RunAsync(stop.Token)] : membership!.Run(workload, verdicts, stop.Token);

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

    private async Task StopAsync(DataPath data, List<Task> loops, string reason)
    {
        var begun = time.GetTimestamp();
        TimeSpan Left() => flags.DrainTime - time.GetElapsedTime(begun) is { Ticks: > 0 } left ? left : TimeSpan.Zero;
        log.Info("stopping", ("reason", reason), ("at_most_s", flags.DrainTime.TotalSeconds));
        await LeaveAsync(data, $"stopping: {reason}");
        await data.StopAsync(Left());
        membership?.Leave();
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
        if (membership?.Withdraw() == true) await Task.Delay(flags.DrainTime < WordGetsAround ? flags.DrainTime : WordGetsAround, time, CancellationToken.None);
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
        RenewCertificate = membership?.RenewCertificate,
        Verdicts = () => data.Verdicts.All.Select(v => new LearnedVerdict(v.Of.Direction == Direction.Inbound ? "inbound" : "outbound", v.Of.Cluster, v.Of.Address?.ToString() ?? "", v.Until)),
        Node = (workload.NodeId, workload.Service),
        Readiness = Ready,
        Accepted = () => publisher.Serving.Raw().Select(raw => AcceptedResource.Of(raw, publisher.Serving.Versions)),
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
        if (membership is { WaitingFor.Length: > 0 } waiting) return waiting.WaitingFor;
        return snapshots.Current.Number > 0 ? publisher.Serving.Lacks : membership?.Trouble ?? "starting";
    }

    private int Refuse(IReadOnlyList<string> errors)
    {
        foreach (var error in errors) log.Error(error);
        return Failed;
    }

    private string MakeId() =>
        string.Create(CultureInfo.InvariantCulture, $"{(flags.Service.Length > 0 ? flags.Service : "client")}-{(uint)random.NextBits():x8}");
}
