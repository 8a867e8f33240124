using System.Net;
using Mesh.Api.Destinations;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.Api.Workloads;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Registration;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Telemetry;
using Mesh.Sidecar.Xds;

namespace Mesh.Sidecar;

/// <summary>
/// All that goes on between this sidecar and the control plane: its certificate, the configuration it follows, its registration, and what it asks. Over
/// plaintext nobody is anybody, and configuration is all there is. Owned by <see cref="Sidecar"/>: made, begun and run once, disposed at the end.
/// </summary>
internal sealed class Membership : IAsyncDisposable
{
    private readonly Flags flags;
    private readonly MembershipParts parts;
    private readonly TimeProvider time;
    private readonly Randomness random;
    private readonly Log log;
    private readonly WorkloadIdentity? identity;
    private readonly GrpcChannel channel;
    private AdsClient? ads;
    private RegistrationClient? registration;

    /// <summary>Nothing is asked before <see cref="Run"/>; throws <see cref="IOException"/> in words where flags cannot be used.</summary>
    public Membership(Flags flags, MembershipParts parts, TimeProvider time, Randomness random, Log log)
    {
        (this.flags, this.parts, this.time, this.random, this.log) = (flags, parts, time, random, log);
        if (flags.IsSecured) identity = new WorkloadIdentity(flags, parts.Security, time, new Random(), log.For("identity"));
        channel = new GrpcChannel(flags.ControlPlaneUrl, identity?.ChannelOptions ?? new GrpcChannelOptions { Time = time });
    }

    /// <summary>Asks who is at an address; null where nobody can be asked.</summary>
    public AskDestination? Ask => identity is null ? null : (query, cancel) => channel.UnaryAsync(DestinationMethods.Lookup, query, new CallOptions(), cancel);

    /// <summary>Renews the certificate now; null where there is none.</summary>
    public Func<CancellationToken, Task<(string? Serial, string Problem)>>? RenewCertificate => identity is { } workload ? workload.RenewAsync : null;

    /// <summary>What a sidecar waits for that has no configuration yet, or must not serve with it.</summary>
    public string WaitingFor =>
        registration is { Refusal.Length: > 0 } refused ? $"the control plane refuses this workload: {refused.Refusal}" : identity?.WaitingFor ?? "";

    /// <summary>Why there is no configuration.</summary>
    public string Trouble => ads?.Status.Trouble ?? "starting";

    /// <summary>Shares the certificate with local programs, where that was asked for.</summary>
    public Task ShareAsync() => identity?.ShareAsync() ?? Task.CompletedTask;

    /// <summary>The client of configuration, and what serves before it has heard any: what was good last, where that is kept.</summary>
    public void Begin(Workload workload, DestinationVerdicts verdicts)
    {
        var node = NodeDescription.Of(workload, Program.Version);
        var wanted = AdsClient.Wanted(workload.Capture is not null, workload.Capture is { Dns.IsEmpty: false });
        identity?.Observe(parts.Own);
        if (identity is not null) parts.Snapshots.TrustChanged += identity.Follow;
        var begin = identity is null ? null : parts.LastGood?.Restore(node, wanted, identity);
        ads = new AdsClient(channel, node, parts.Publisher, new AdsClock(time, random), log.For("xds")) { IsSecured = identity is not null, Begin = begin ?? wanted };
        if (begin is null) return;
        parts.LastGood!.GiveBack(verdicts);
        parts.Publisher.TellTrust(begin);
        parts.Publisher.Publish(begin);
    }

    /// <summary>The loops that bring configuration and keep the workload registered, after <see cref="Begin"/>.</summary>
    public List<Task> Run(Workload workload, DestinationVerdicts verdicts, CancellationToken stop)
    {
        var client = ads!;
        Observe(client);
        if (identity is null)
        {
            if (!workload.Ports.IsEmpty) log.Warn("not registered: a control plane in plaintext takes no registrations", ("address", flags.ControlPlane));
            return [client.RunAsync(stop)];
        }

        List<Task> loops = [identity.RunAsync(stop), OnceCertifiedAsync(() => client.RunAsync(stop), stop)];
        var sources = new KeptSources(NodeDescription.Of(workload, Program.Version), () => identity.Id, parts.Publisher, parts.Snapshots, client.Status, verdicts);
        if (parts.LastGood is { } kept) loops.Add(kept.RunAsync(sources, stop));
        var addresses = workload.Capture is null or { DeclaredOnly: true } ? null : new OwnAddresses(IPAddress.Parse(workload.Address), MachineAddress.All, ProveAsync, time, log.For("registration"));
        if (addresses is not null) loops.Add(OnceCertifiedAsync(() => addresses.RunAsync(stop), stop));
        var settings = new RegistrationSettings(flags.HealthPath, time, random) { MoreAddresses = () => addresses?.Current ?? [] };
        var registering = registration = new RegistrationClient(channel, workload, settings, log.For("registration"));
        loops.Add(OnceCertifiedAsync(() => KeepRegisteredAsync(registering, stop), stop));
        return loops;
    }

    /// <summary>True where this sidecar proves who it is; nobody else's reports are taken.</summary>
    public bool IsProven => identity is not null;

    /// <summary>The channel to the control plane, once there is a certificate to show it.</summary>
    public async Task<GrpcChannel> CertifiedChannelAsync(CancellationToken stop)
    {
        await identity!.CertifiedAsync(stop);
        return channel;
    }

    /// <summary>Takes the workload out of the registry where others call it; false where nobody does.</summary>
    public bool Withdraw()
    {
        if (registration is not { Registered: true, IsClient: false } called) return false;
        called.Leave();
        return true;
    }

    /// <summary>Ends the registration.</summary>
    public void Leave() => registration?.Leave();

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (identity is not null) await identity.DisposeAsync();
        channel.Dispose();
    }

    private void Observe(AdsClient client)
    {
        parts.Own.Observe("mesh_sidecar_xds_accepted_total", "Answers of the control plane accepted.", grows: true, () => client.Status.Accepted);
        parts.Own.Observe("mesh_sidecar_xds_refused_total", "Answers of the control plane refused (NACK).", grows: true, () => client.Status.Refused);
        parts.Own.Observe("mesh_sidecar_xds_streams_total", "Streams to the control plane opened.", grows: true, () => client.Status.Connects);
        parts.Own.Observe("mesh_sidecar_xds_connected", "1 while the control plane is followed.", grows: false, () => client.Status.Connected ? 1 : 0);
    }

    /// <summary>A proof for an address, over a connection from it; that one is closed again.</summary>
    private async Task<AddressProof> ProveAsync(IPAddress from, CancellationToken cancel)
    {
        using var thence = new GrpcChannel(flags.ControlPlaneUrl, identity!.ChannelOptions with { LocalAddress = from });
        return await thence.UnaryAsync(WorkloadMethods.ProveAddress, new AddressQuery(), new CallOptions(), cancel);
    }

    /// <summary>Begins what needs the control plane when there is a certificate to show it.</summary>
    private async Task OnceCertifiedAsync(Func<Task> begin, CancellationToken stop)
    {
        await identity!.CertifiedAsync(stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!stop.IsCancellationRequested) await begin();
    }

    /// <summary>A workload without ports has nothing to register; that is no end of a loop.</summary>
    private async Task KeepRegisteredAsync(RegistrationClient client, CancellationToken stop)
    {
        await client.RunAsync();
        await Task.Delay(Timeout.InfiniteTimeSpan, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }
}

/// <summary>What a membership works with: where configuration goes, and where it is kept. Immutable.</summary>
internal sealed record MembershipParts(Security Security, Snapshots Snapshots, SnapshotPublisher Publisher, SidecarMetrics Own, LastGood? LastGood);
