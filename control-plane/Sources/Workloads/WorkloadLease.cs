namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>One stream's hold on one workload. Made by <see cref="WorkloadRegistrations.TryOpen"/>; whoever opened it disposes it. Thread safe.</summary>
internal sealed class WorkloadLease : IDisposable
{
    private readonly CancellationTokenSource lost = new();

    /// <summary>Cancelled when the hold is lost to another stream or the control plane stops; <see cref="Reason"/> says why.</summary>
    public CancellationToken Lost => lost.Token;

    /// <summary>Why it was lost.</summary>
    public string? Reason { get; private set; }

    /// <summary>True when it was lost because this control plane stops: the workload shall come back to another one.</summary>
    public bool Stopping { get; private set; }

    /// <summary>The workload it holds, once registered. Guarded by the lock of <see cref="WorkloadRegistrations"/>.</summary>
    internal string? WorkloadId { get; set; }

    public void Dispose() => lost.Dispose();

    /// <summary>Takes the hold away. The caller cancels outside its locks by running what this returns.</summary>
    internal Action Lose(string reason, bool stopping = false)
    {
        (Reason, Stopping) = (reason, stopping);
        return () =>
        {
            try
            {
                lost.Cancel();
            }
            catch (ObjectDisposedException)
            {
                // Its stream ended by itself meanwhile.
            }
        };
    }
}
