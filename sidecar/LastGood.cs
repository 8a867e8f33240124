using System.Globalization;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.State;
using Mesh.Sidecar.Telemetry;
using Mesh.Sidecar.Xds;
using Node = Envoy.Config.Core.V3.Node;

namespace Mesh.Sidecar;

/// <summary>
/// The configuration that was good when this sidecar ran last: read at start, served until the control plane has said more, and kept up to date. What
/// cannot be used is said and counted, and the start goes on without. Made and used at start by Program, then a loop of its.
/// </summary>
internal sealed class LastGood
{
    private readonly StateFolder folder;
    private readonly TimeProvider time;
    private readonly SidecarMetrics own;
    private readonly Log log;
    private readonly StateKeeper keeper;
    private readonly StateLock one;
    private bool isOthers;
    private KeptConfiguration? kept;
    private KeptSources? sources;

    /// <summary>Reads what is kept in a folder.</summary>
    public LastGood(string path, TimeProvider time, SidecarMetrics own, Log log)
    {
        (folder, this.time, this.own, this.log) = (new StateFolder(path, time), time, own, log);
        keeper = new StateKeeper(folder, Take, time, log);
        one = new StateLock(path);
        Try(() =>
        {
            isOthers = !one.TryTake();
            kept = isOthers ? throw new StateRefusedException("in_use", $"another sidecar, which runs, keeps its own in {path}: each needs a folder of its own, and this one keeps nothing there") : folder.Read();
        });
        own.Observe("mesh_sidecar_kept_configuration_serving", "1 while the configuration kept on disk serves, and no control plane has said more.", grows: false, () => Serving is null ? 0 : 1);
        own.Observe("mesh_sidecar_kept_configuration_age_seconds", "How long ago a control plane stood behind the kept configuration that serves; 0 when none does.", grows: false, () => Age.TotalSeconds);
        own.Observe("mesh_sidecar_kept_configuration_writes_total", "Times that the configuration was kept.", grows: true, () => keeper.Written);
        own.Observe("mesh_sidecar_kept_configuration_write_failures_total", "Times that it could not be kept.", grows: true, () => keeper.Failures);
    }

    /// <summary>For the readiness probe: that a kept configuration serves, and how old it is; empty when none does.</summary>
    public string Note => Serving is { } serving
        ? string.Create(CultureInfo.InvariantCulture, $"serving the configuration kept at {serving.Confirmed.ToDateTimeOffset():u}, {Age.TotalSeconds:0} s old: no control plane has been heard since")
        : "";

    private KeptConfiguration? Serving => sources?.Ads.IsFresh is true ? null : kept;

    private TimeSpan Age => Serving is { } serving ? time.GetUtcNow() - serving.Confirmed.ToDateTimeOffset() : TimeSpan.Zero;

    /// <summary>The flags with the ports and the ID that were made up last time: peers know them.</summary>
    public Flags Remember(Flags flags) => kept is { Node: { } node } ? RememberedPorts.In(flags, node) : flags;

    /// <summary>
    /// The resources to begin with, if they and the certificate can be used; else null. Whom not to believe is told by then, and the certificate is
    /// in use.
    /// </summary>
    /// <param name="node">This node.</param>
    /// <param name="wanted">What the ADS client wants.</param>
    /// <param name="identity">Has the certificate.</param>
    public ResourceSet? Restore(Node node, ResourceSet wanted, WorkloadIdentity identity)
    {
        ResourceSet? restored = null;
        Try(() =>
        {
            if (kept is null) return;
            var set = KeptResources.Restore(kept, wanted);
            if (KeptResources.IsRevoked(kept, set)) throw new StateRefusedException("revoked", $"the kept configuration says itself that {kept.Identity} is revoked");
            identity.UseKept();
            if (identity.Id is not { } id) throw new StateRefusedException("certificate", "the kept configuration has no certificate to serve with: none is kept, or it cannot be used");
            KeptResources.CheckOwner(kept, new KeptOwner(node, id));
            restored = set;
        });
        if (restored is not null) log.Warn("serving a kept configuration until the control plane is heard", ("of", kept!.Confirmed.ToDateTimeOffset().ToString("u", CultureInfo.InvariantCulture)), ("age_s", (long)Age.TotalSeconds), ("resources", kept.Resources.Sum(r => r.Resources_.Count)), ("destinations", kept.Destinations.Count));
        return restored;
    }

    /// <summary>Gives the kept answers about destinations back. The last of it: what is left is only how old it is.</summary>
    public void GiveBack(DestinationVerdicts verdicts)
    {
        if (kept is null) return;
        verdicts.Remember(kept.Destinations);
        kept = new KeptConfiguration { Confirmed = kept.Confirmed };
    }

    /// <summary>Keeps until cancelled what these have. Once.</summary>
    public Task RunAsync(KeptSources from, CancellationToken stop)
    {
        sources = from;
        from.Snapshots.Changed += _ => keeper.Signal();
        from.Snapshots.TrustChanged += _ => keeper.Signal();
        from.Verdicts.Changed += keeper.Signal;
        return keeper.RunAsync(stop);
    }

    private KeptConfiguration? Take(bool changed)
    {
        if (isOthers && (isOthers = !one.TryTake())) return null;
        if (sources is not { Ads: var status } from || from.Identity() is not { } id) return null;
        // News of roots alone does not make the rest of a kept one any younger.
        if ((status.Confirms ? time.GetUtcNow() : status.ConfirmedAt ?? kept?.Confirmed.ToDateTimeOffset()) is not { } confirmed) return null;
        if ((!changed && !status.Confirms) || from.Publisher.Serving == ResourceSet.Empty) return null;
        var next = KeptResources.Of(new KeptOwner(from.Node, id), from.Publisher.Good, confirmed);
        next.Destinations.AddRange(from.Verdicts.Answers);
        return next;
    }

    private void Try(Action act)
    {
        try
        {
            act();
        }
        catch (StateRefusedException e)
        {
            kept = null;
            own.KeptRefused.Add(e.Reason);
            log.Warn("the kept configuration is not used", ("reason", e.Message));
        }
    }
}

/// <summary>What is kept, and who has it. Immutable; asked from the keeper's loop.</summary>
/// <param name="Node">This node, as the control plane is told of it.</param>
/// <param name="Identity">Its SPIFFE ID; null without a certificate.</param>
/// <param name="Publisher">The resources that serve.</param>
/// <param name="Snapshots">Says when others do.</param>
/// <param name="Ads">Whether a control plane stands behind them.</param>
/// <param name="Verdicts">Answers about destinations.</param>
internal sealed record KeptSources(Node Node, Func<string?> Identity, SnapshotPublisher Publisher, Snapshots Snapshots, AdsStatus Ads, DestinationVerdicts Verdicts);
