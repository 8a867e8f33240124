using System.Collections.Immutable;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>
/// What is known of one service of Consul, and the rule for believing that it has become empty.
/// Owned by <see cref="ConsulSource"/>, under whose lock all members are used.
/// </summary>
internal sealed class ServiceWatch(string name, ConsulSourceOptions options, TimeProvider time, Log log)
{
    private DateTimeOffset? emptySince;

    public string Name => name;

    /// <summary>What the world is told.</summary>
    public ServiceView View { get; private set; } = ServiceView.Empty;

    /// <summary>True once there was an answer, so that "no instances" is knowledge.</summary>
    public bool Answered { get; private set; }

    /// <summary>True while an empty answer is not believed yet.</summary>
    public bool Holding => emptySince is not null;

    /// <summary>When somebody last needed it.</summary>
    public DateTimeOffset NeededAt { get; set; }

    /// <summary>Ends its loop; null while it is read in turn.</summary>
    public CancellationTokenSource? Stop { get; set; }

    /// <summary>Its loop.</summary>
    public Task Loop { get; set; } = Task.CompletedTask;

    /// <summary>Takes an answer; true when the world has to be told.</summary>
    public bool Take(ServiceView answer, WithdrawnWorkloads withdrawn)
    {
        Answered = true;
        // Entries we withdrew ourselves are expected to go: only what would be lost unexpectedly makes an empty answer odd.
        if (answer.Entries.IsEmpty && View.Entries.Any(e => !withdrawn.Hides(e)) && Holds()) return false;
        if (emptySince is not null && !answer.Entries.IsEmpty) log.Info("a service that seemed empty has instances again", ("service", name), ("instances", answer.Entries.Length));
        emptySince = null;
        var changed = !View.Entries.Select(e => (e.Instance, e.Owner)).SequenceEqual(answer.Entries.Select(e => (e.Instance, e.Owner)))
            || !View.Notices.SequenceEqual(answer.Notices);
        View = answer;
        return changed;
    }

    /// <summary>The notices to show: what was left out, and that an empty answer is held.</summary>
    public ImmutableArray<Notice> Notices() => emptySince is not { } since ? View.Notices : View.Notices.Add(new Notice(
        MeshMeta.Source(name, ServiceName.DefaultNamespace),
        $"the registry says since {since:HH:mm:ss} that '{name}' has no instance; its last {View.Entries.Length} are kept until {since + options.EmptyHold:HH:mm:ss} unless it has some again"));

    private bool Holds()
    {
        var now = time.GetUtcNow();
        if (emptySince is null)
        {
            emptySince = now;
            log.Warn("a service suddenly has no instance; its last ones are kept for a while", ("service", name), ("kept", View.Entries.Length), ("hold_seconds", options.EmptyHold.TotalSeconds));
        }

        if (now - emptySince < options.EmptyHold) return true;
        log.Warn("a service stays without instances; its last ones are dropped", ("service", name), ("dropped", View.Entries.Length));
        return false;
    }

}
