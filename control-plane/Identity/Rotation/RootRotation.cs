using System.Text;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Identity.Records;
using Mesh.ControlPlane.Identity.Stores;

namespace Mesh.ControlPlane.Identity.Rotation;

/// <summary>
/// Changes the root without a failed request: add the new one, wait until everybody believes it, issue under it, wait until everybody has renewed,
/// drop the old one. Where it stands is kept with the authority, so whichever control plane lives goes on; each writes down which of its nodes
/// have acknowledged. Thread safe; its owner runs <see cref="RunAsync"/> once.
/// </summary>
internal sealed class RootRotation(MeshAuthority ours, CertificateAuthority authority, Holders holders, IAuthorityStore store, (TimeProvider Time, Log Log) clock)
{
    /// <summary>How often the phase is looked at.</summary>
    public static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(1);

    /// <summary>Nobody must have held the phase up for so long: what other control planes write down takes a moment.</summary>
    public static readonly TimeSpan Settle = TimeSpan.FromSeconds(2);

    private const string Acknowledged = "acks";
    private readonly TimeProvider time = clock.Time;
    private readonly HashSet<string> written = new(StringComparer.Ordinal);
    private DateTimeOffset? clearSince;
    private bool isAway;

    /// <summary>Who has a stream to this control plane, and whether he believes the given roots (PEM). Set by the program before it runs.</summary>
    public Func<string, IReadOnlyList<ConnectedHolder>> Connected { get; set; } = _ => [];

    /// <summary>Goes on with any change of roots until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (true)
        {
            var before = time.GetTimestamp();
            try
            {
                if (RotationSteps.IsRunning(ours.State)) await StepAsync(stop);
                isAway = false;
            }
            catch (StoreException e)
            {
                if (!isAway) clock.Log.Warn("the change of roots cannot go on; that is tried again", ("error", e.Message));
                isAway = true;
            }

            // A look reads all holders: where there are many, it is made less often.
            var took = time.GetElapsedTime(before) * 10;
            await Task.Delay(took > LookEvery ? took : LookEvery, time, stop);
        }
    }

    /// <summary>Begins a change, or goes on with the one that is under way; <paramref name="force"/> passes over whom the phase waits for.</summary>
    public async Task<RotationReport> StartAsync(bool force, CancellationToken stop)
    {
        if (force && ours.State.Rotation is { } seen && RotationSteps.IsRunning(ours.State)) await AdvanceAsync(seen, "forced", stop);
        else await ours.UpdateAsync(state => RotationSteps.Begin(state, authority.Lifetimes, time.GetUtcNow()), "a new root was added; certificates are issued under the old one until everybody believes it", stop);
        return (await ReportAsync(stop))!;
    }

    /// <summary>How the present or the last change stands; null when there was none.</summary>
    public async Task<RotationReport?> ReportAsync(CancellationToken stop)
    {
        if (ours.State.Rotation is not { } rotation) return null;
        var waits = await LaggardsAsync(rotation, stop);
        return new RotationReport(rotation, waits, rotation.Phase switch
        {
            RotationPhase.Distribute => $"the new root is being believed; certificates are issued under the old one until all do{LatestOf(waits)}",
            RotationPhase.Renew => $"certificates are issued under the new root; the old one is believed until all have renewed{LatestOf(waits)}",
            _ => "the old root is gone",
        });
    }

    /// <summary>How a change would go, if it began now. Changes nothing.</summary>
    public async Task<RotationReport> RehearseAsync(CancellationToken stop)
    {
        if (RotationSteps.IsRunning(ours.State)) return (await ReportAsync(stop))!;
        var held = await holders.ReadAsync(stop);
        var here = Connected(authority.Current.Bundle.ToPem());
        // With a new root the bundle is another one, so nobody has it yet; who is connected will have it in a moment.
        var gone = Laggards.InDistribute(held, here, here.Select(node => node.Holder).ToHashSet(StringComparer.Ordinal), "none yet");
        var text = $"{held.Count} holders of certificates, {here.Count} of them connected here, which believe a new root within seconds and renew within a minute"
            + (gone.Count == 0 ? "; nobody would hold it up" : $"; {gone.Count} are not connected here and hold it up until they renew{LatestOf(gone)}, or until --force passes over them");
        return new RotationReport(null, gone, text);
    }

    private async Task StepAsync(CancellationToken stop)
    {
        var rotation = ours.State.Rotation!;
        if (rotation.Phase == RotationPhase.Distribute) await WriteAcknowledgedAsync(rotation, stop);
        var waits = await LaggardsAsync(rotation, stop);
        var now = time.GetUtcNow();
        if (waits.Count > 0)
        {
            clearSince = null;
            return;
        }

        clearSince ??= now;
        if (now - clearSince >= Settle) await AdvanceAsync(rotation, "everybody is ready", stop);
    }

    private async Task AdvanceAsync(RotationState seen, string why, CancellationToken stop)
    {
        clearSince = null;
        var next = await ours.UpdateAsync(state => RotationSteps.After(seen, state, time.GetUtcNow()), $"the change of roots goes on: {why}", stop);
        if (next.Rotation is not { Phase: RotationPhase.Done }) return;
        written.Clear();
        foreach (var entry in await store.ReadAllAsync(Acknowledged, Skip, stop)) await store.DeleteAsync(entry.Name, stop);
    }

    private async Task<IReadOnlyList<Laggard>> LaggardsAsync(RotationState rotation, CancellationToken stop)
    {
        if (rotation.Phase == RotationPhase.Done) return [];
        var held = await holders.ReadAsync(stop);
        var connected = Connected(authority.Current.Bundle.ToPem());
        if (rotation.Phase == RotationPhase.Renew) return Laggards.InRenew(held, connected, rotation);
        var prefix = FolderOf(rotation) + "/";
        var acknowledged = (await store.ReadAllAsync(FolderOf(rotation), Skip, stop)).Select(entry => entry.Name[prefix.Length..]).ToHashSet(StringComparer.Ordinal);
        return Laggards.InDistribute(held, connected, acknowledged, authority.Current.Bundle.Fingerprint);
    }

    private async Task WriteAcknowledgedAsync(RotationState rotation, CancellationToken stop)
    {
        foreach (var node in Connected(authority.Current.Bundle.ToPem()).Where(node => node.Believes))
        {
            var name = $"{FolderOf(rotation)}/{node.Holder}";
            if (written.Contains(name)) continue;
            await store.CreateAsync(name, Encoding.UTF8.GetBytes(node.Node), stop);
            written.Add(name);
        }
    }

    // Nobody's word: whoever it was acknowledges again, or is waited for.
    private void Skip(string name, StoreException reason) => clock.Log.Warn("an acknowledgement of the new root cannot be read and does not count", ("entry", name), ("error", reason.Message));

    private static string FolderOf(RotationState rotation) => $"{Acknowledged}/{rotation.NewRoot[..16]}";

    private static string LatestOf(IReadOnlyList<Laggard> waits) =>
        waits.Count == 0 || waits.All(one => one.Until == DateTimeOffset.MaxValue) ? "" : $", at the latest at {waits.Where(one => one.Until < DateTimeOffset.MaxValue).Max(one => one.Until):u}";
}
