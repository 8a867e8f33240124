using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>Where a registration stands with the registry. Immutable.</summary>
/// <param name="Written">The newest generation the registry has.</param>
/// <param name="Failed">The newest generation of which a write failed.</param>
/// <param name="Error">Why it failed.</param>
internal sealed record WriteProgress(long Written, long Failed, string Error)
{
    public static WriteProgress None { get; } = new(0, 0, "");
}

/// <summary>What the registry shall hold about a workload. Immutable.</summary>
/// <param name="Instance">The workload.</param>
/// <param name="Detail">What it says about its health.</param>
/// <param name="Generation">Grows with each change.</param>
/// <param name="Lease">Number of the stream it came by: the first write of a stream may take the entry over from another replica.</param>
internal sealed record DesiredEntry(Instance Instance, string Detail, long Generation, long Lease);

/// <summary>
/// A registered workload: connected while it has a lease, in its grace time while it has none. Guarded by the lock of
/// <see cref="WorkloadRegistrations"/>.
/// </summary>
internal sealed class HeldWorkload
{
    public required DesiredEntry Desired { get; set; }

    public WorkloadLease? Lease { get; set; }

    /// <summary>Ends the grace time; null while connected.</summary>
    public ITimer? Grace { get; set; }

    /// <summary>Drops its other addresses; null while it has none that have to be proved again.</summary>
    public ITimer? Proved { get; set; }

    public WriteProgress Progress { get; set; } = WriteProgress.None;

    /// <summary>Completes when <see cref="Progress"/> has changed; replaced each time.</summary>
    public TaskCompletionSource Progressed { get; set; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Ends both timers: it is gone.</summary>
    public void EndTimers()
    {
        Grace?.Dispose();
        Proved?.Dispose();
    }
}
