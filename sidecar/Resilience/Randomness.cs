namespace Mesh.Sidecar.Resilience;

/// <summary>
/// Random numbers for balancing, jitter and identifiers that are no secrets: SplitMix64 over one atomic counter.
/// Thread safe without locks; the same seed gives the same sequence, so that tests are exact.
/// </summary>
public sealed class Randomness(ulong seed)
{
    private const ulong GoldenGamma = 0x9E3779B97F4A7C15;
    private ulong state = seed;

    /// <summary>
    /// A seed of the kernel's randomness. By way of a Guid: a generator for secrets would load OpenSSL, 3 MB that a sidecar without TLS never needs.
    /// </summary>
    public static ulong NewSeed()
    {
        Span<byte> bytes = stackalloc byte[16];
        Guid.NewGuid().TryWriteBytes(bytes);
        return BitConverter.ToUInt64(bytes) ^ BitConverter.ToUInt64(bytes[8..]);
    }

    /// <summary>The next 64 random bits.</summary>
    public ulong NextBits()
    {
        var z = Interlocked.Add(ref state, GoldenGamma);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>A number from 0 up to, and without, <paramref name="end"/>; 0 when that is 0.</summary>
    public uint Below(uint end) => (uint)(((NextBits() >> 32) * end) >> 32);

    /// <summary>A number from 0 up to, and without, 1.</summary>
    public double Fraction() => (NextBits() >> 11) * (1.0 / (1UL << 53));
}
