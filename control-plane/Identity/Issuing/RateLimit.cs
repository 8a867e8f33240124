namespace Mesh.ControlPlane.Identity.Issuing;

/// <summary>A token bucket: so many at once, so many a second. Thread safe.</summary>
internal sealed class RateLimit(double perSecond, int burst, TimeProvider time)
{
    private readonly Lock gate = new();
    private double left = burst;
    private long last = time.GetTimestamp();

    /// <summary>Takes one; false when there is none left.</summary>
    public bool TryTake()
    {
        lock (gate)
        {
            Refill();
            if (left < 1) return false;
            left--;
            return true;
        }
    }

    /// <summary>True when nothing was taken for so long that it is as good as new.</summary>
    public bool IsFull
    {
        get
        {
            lock (gate)
            {
                Refill();
                return left >= burst;
            }
        }
    }

    private void Refill()
    {
        var now = time.GetTimestamp();
        left = Math.Min(burst, left + (time.GetElapsedTime(last, now).TotalSeconds * perSecond));
        last = now;
    }
}
