namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>Lets a burst through and then one each <paramref name="period"/>. One caller at a time.</summary>
internal sealed class TokenBucket(int burst, TimeSpan period, TimeProvider time)
{
    private double tokens = burst;
    private long last = time.GetTimestamp();

    /// <summary>Takes a token, or a part of one; says how long to wait before acting on it.</summary>
    public TimeSpan Take(double cost = 1)
    {
        var now = time.GetTimestamp();
        tokens = Math.Min(burst, tokens + (time.GetElapsedTime(last, now) / period));
        last = now;
        tokens -= cost;
        return tokens >= 0 ? TimeSpan.Zero : period * -tokens;
    }
}
