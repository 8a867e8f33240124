namespace Mesh.ControlPlane.Sources;

/// <summary>Time and chance as they come in from outside: real in the program, owned by the test in tests. Thread safe.</summary>
internal sealed class SourceClock(TimeProvider time, Random random)
{
    public TimeProvider Time => time;

    /// <summary>A random length of time up to <paramref name="most"/>.</summary>
    public TimeSpan UpTo(TimeSpan most)
    {
        lock (random) return most * random.NextDouble();
    }

    /// <summary>Waits; a length of zero or less does not.</summary>
    public Task DelayAsync(TimeSpan delay, CancellationToken stop) =>
        delay <= TimeSpan.Zero ? Task.CompletedTask : Task.Delay(delay, time, stop);

    /// <summary>Waits about a length of time: 10 % around it, so that equal loops do not march in step.</summary>
    public Task AboutAsync(TimeSpan delay, CancellationToken stop) => DelayAsync((delay * 0.9) + UpTo(delay * 0.2), stop);
}
