namespace Mesh.Sidecar.Listening;

/// <summary>Says whether a line that many clients can cause is to be logged now: once in a while, with the number of those that were not. Thread safe.</summary>
internal sealed class Sparingly(TimeSpan every, TimeProvider time)
{
    private long last = long.MinValue;
    private int unsaid;

    /// <summary>True when it is time for a line; then <paramref name="others"/> says how many were left out since the last.</summary>
    public bool Now(out int others)
    {
        var (now, before) = (time.GetTimestamp(), Volatile.Read(ref last));
        if ((before != long.MinValue && time.GetElapsedTime(before, now) < every) || Interlocked.CompareExchange(ref last, now, before) != before)
        {
            others = 0;
            Interlocked.Increment(ref unsaid);
            return false;
        }

        others = Interlocked.Exchange(ref unsaid, 0);
        return true;
    }
}
