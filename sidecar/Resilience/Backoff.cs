namespace Mesh.Sidecar.Resilience;

/// <summary>Waiting times that grow. Pure.</summary>
public static class Backoff
{
    /// <summary>Exponential with full jitter: before retry <paramref name="retry"/> (1, 2, ...) anything from 0 to base * 2^(retry-1), at most max.</summary>
    public static TimeSpan FullJitter(int retry, TimeSpan first, TimeSpan most, Randomness random) =>
        Grown(retry, first, most) * random.Fraction();

    /// <summary>Doubles from <paramref name="first"/> to at most <paramref name="most"/>, with a tenth of jitter to either side.</summary>
    public static TimeSpan Doubling(int step, TimeSpan first, TimeSpan most, Randomness random) =>
        Grown(step, first, most) * (0.9 + (0.2 * random.Fraction()));

    private static TimeSpan Grown(int step, TimeSpan first, TimeSpan most)
    {
        var grown = first * Math.Pow(2, Math.Clamp(step - 1, 0, 30));
        return grown < most ? grown : most;
    }
}
