using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity;

/// <summary>
/// Leaves whose chain was found good, by their SHA-256 and the bundle's: the same bytes under the same roots stay good until the first
/// certificate of that chain ends, whatever else is sent with them. Refusals are not kept. Bounded; safe from any thread.
/// </summary>
internal sealed class ProvenLeaves
{
    private const int Most = 8192;
    private readonly ConcurrentDictionary<Key, Proof> proofs = new();

    internal int Count => proofs.Count;

    public static Key KeyOf(X509Certificate2 leaf, TrustBundle bundle)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(leaf.RawDataMemory.Span, hash);
        return new(new UInt128Pair(hash), bundle.Fingerprint);
    }

    public Proof? Find(in Key key, DateTimeOffset now)
    {
        if (!proofs.TryGetValue(key, out var proof)) return null;
        // One that was taken a little early stays so: its notBefore is not looked at again.
        if (now <= proof.Until) return proof;
        proofs.TryRemove(key, out _);
        return null;
    }

    public Proof Keep(in Key key, SpiffeId id, X509Chain chain)
    {
        // Full means thousands of workloads, or a bundle that changed often: starting over costs a chain each, once.
        if (proofs.Count >= Most) proofs.Clear();
        var until = chain.ChainElements.Min(e => e.Certificate.NotAfter.ToUniversalTime());
        return proofs[key] = new(id, TrustBundle.Sha256(chain.ChainElements[^1].Certificate), new DateTimeOffset(until, TimeSpan.Zero));
    }

    internal readonly record struct Key(UInt128Pair Leaf, string Bundle);

    /// <summary>The 256 bits of a hash as a value.</summary>
    internal readonly record struct UInt128Pair(UInt128 High, UInt128 Low)
    {
        public UInt128Pair(ReadOnlySpan<byte> bytes)
            : this(Read(bytes), Read(bytes[16..]))
        {
        }

        private static UInt128 Read(ReadOnlySpan<byte> bytes) => System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(bytes);
    }

    /// <summary>What was found.</summary>
    /// <param name="Id">Who it is.</param>
    /// <param name="Root">SHA-256 (hex) of the root that vouches for it.</param>
    /// <param name="Until">End of the first certificate of its chain that ends.</param>
    internal sealed record Proof(SpiffeId Id, string Root, DateTimeOffset Until);
}
