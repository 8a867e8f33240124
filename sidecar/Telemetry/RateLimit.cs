namespace Mesh.Sidecar.Telemetry;

/// <summary>So many a second, in fixed seconds; counts those that were not among them. Thread safe.</summary>
internal sealed class RateLimit(int most, TimeProvider time)
{
    private readonly Lock gate = new();
    private long second = long.MinValue;
    private int taken;
    private long refused;

    /// <summary>True when one more is within the limit, with how many were not since the last one that was.</summary>
    public bool TryTake(out long refusedBefore)
    {
        var now = time.GetTimestamp() / time.TimestampFrequency;
        lock (gate)
        {
            if (now != second) (second, taken) = (now, 0);
            var fits = taken < most;
            refusedBefore = fits ? refused : 0;
            if (fits)
            {
                taken++;
                refused = 0;
            }
            else
            {
                refused++;
            }

            return fits;
        }
    }
}
