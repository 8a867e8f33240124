namespace Mesh.ControlPlane.Sources;

/// <summary>
/// Exponential backoff with jitter: the upper half of each step is random, so that those who failed together do not return together. Immutable.
/// </summary>
/// <param name="Least">First step.</param>
/// <param name="Most">Largest step.</param>
internal sealed record Backoff(TimeSpan Least, TimeSpan Most)
{
    /// <summary>How long to wait after the given number of failures in a row (1 = the first).</summary>
    public TimeSpan After(int failures, SourceClock clock)
    {
        var step = Math.Min(Least.TotalMilliseconds * Math.Pow(2, Math.Clamp(failures - 1, 0, 30)), Most.TotalMilliseconds);
        var half = TimeSpan.FromMilliseconds(step / 2);
        return half + clock.UpTo(half);
    }
}
