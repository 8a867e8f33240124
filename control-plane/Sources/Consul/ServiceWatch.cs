using System.Collections.Immutable;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>
/// What is known of one service of Consul, and the rule for not believing that its instances are gone.
/// Owned by <see cref="ConsulSource"/>, under whose lock all members are used.
/// </summary>
internal sealed class ServiceWatch(string name, ConsulSourceOptions options, TimeProvider time, Log log)
{
    private readonly DateTimeOffset since = time.GetUtcNow();
    private DateTimeOffset? holdingSince;
    private DateTimeOffset? forgotAt;
    private ulong lastIndex;
    private bool failed;

    public string Name => name;

    /// <summary>What the world is told.</summary>
    public ServiceView View { get; private set; } = ServiceView.Empty;

    /// <summary>True once there was an answer, so that "no instances" is knowledge.</summary>
    public bool Answered { get; private set; }

    /// <summary>True while a first answer is to be expected; one that does not come in time is given up, and the service counts as it is known.</summary>
    public bool IsAwaited => !Answered && time.GetUtcNow() - since < options.SyncPatience;

    /// <summary>True while instances that the registry no longer names are kept.</summary>
    public bool Holding => holdingSince is not null;

    /// <summary>When somebody last needed it.</summary>
    public DateTimeOffset NeededAt { get; set; }

    /// <summary>Ends its loop; null while it is read in turn.</summary>
    public CancellationTokenSource? Stop { get; set; }

    /// <summary>Takes an answer; true when the world has to be told.</summary>
    public bool Take(ServiceView answer, ulong? index, WithdrawnWorkloads withdrawn)
    {
        Answered = true;
        // After an outage, and when the index goes backwards, the registry may have forgotten: what it lacks may be on its way back.
        if (index < lastIndex || failed) forgotAt = time.GetUtcNow();
        (lastIndex, failed) = (index ?? 0, false);
        var taken = KeepMissing(answer, withdrawn);
        var changed = !View.Entries.Select(e => (e.Instance, e.Owner)).SequenceEqual(taken.Entries.Select(e => (e.Instance, e.Owner)))
            || !View.Notices.SequenceEqual(taken.Notices);
        View = taken;
        return changed;
    }

    /// <summary>It could not be read.</summary>
    public void Fail() => failed = true;

    /// <summary>The notices to show: what was left out, and that an answer is not believed yet.</summary>
    public ImmutableArray<Notice> Notices() => holdingSince is not { } since ? View.Notices : View.Notices.Add(new Notice(
        MeshMeta.Source(name, ServiceName.DefaultNamespace),
        $"the registry suddenly lacks instances of '{name}'; they are kept until {since + options.EmptyHold:HH:mm:ss} unless they come back"));

    /// <summary>The answer, and while it is not believed also what it lacks. Entries we withdrew ourselves are expected to be missing.</summary>
    private ServiceView KeepMissing(ServiceView answer, WithdrawnWorkloads withdrawn)
    {
        var now = time.GetUtcNow();
        var named = answer.Entries.Select(e => e.Instance.Id).ToHashSet(StringComparer.Ordinal);
        var missing = View.Entries.Where(e => !named.Contains(e.Instance.Id) && !withdrawn.Hides(e)).ToArray();
        var isOdd = missing.Length > 0 && (answer.Entries.IsEmpty || now - forgotAt < options.EmptyHold);
        if (isOdd && now - (holdingSince ?? now) < options.EmptyHold)
        {
            if (holdingSince is null)
            {
                log.Warn(
                    "a service suddenly lacks instances; they are kept for a while",
                    ("service", name), ("kept", missing.Length), ("left", answer.Entries.Length), ("hold_seconds", options.EmptyHold.TotalSeconds));
            }

            holdingSince ??= now;
            return answer with { Entries = [.. answer.Entries.Concat(missing).OrderBy(e => e.Instance.Id, StringComparer.Ordinal)] };
        }

        if (holdingSince is not null)
        {
            log.Info(
                missing.Length > 0 ? "missing instances did not come back and are dropped" : "missing instances are back",
                ("service", name), ("dropped", missing.Length), ("left", answer.Entries.Length));
        }

        holdingSince = null;
        return answer;
    }
}
