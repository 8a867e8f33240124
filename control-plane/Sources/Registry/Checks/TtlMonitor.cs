namespace Mesh.ControlPlane.Sources.Registry.Checks;

/// <summary>Calls <paramref name="expired"/> when a TTL check has not been reported on for its time to live. Thread safe.</summary>
internal sealed class TtlMonitor(CheckDefinition check, TimeProvider time, Action<CheckDefinition> expired) : CheckMonitor(check)
{
    private ITimer? timer;

    public override void Start() => timer = time.CreateTimer(_ => expired(Check), null, CheckDefinition.Bounded(Check.Period), Timeout.InfiniteTimeSpan);

    /// <summary>A report came in: the time begins anew.</summary>
    public void Renew() => timer?.Change(CheckDefinition.Bounded(Check.Period), Timeout.InfiniteTimeSpan);

    public override ValueTask DisposeAsync() => timer?.DisposeAsync() ?? ValueTask.CompletedTask;
}
