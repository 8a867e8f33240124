using System.Buffers.Binary;
using System.Net;
using System.Security.Cryptography;
using System.Text;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>
/// Proofs that an identity was seen at an address: given to who connects from there, and taken back from him with a registration, at any control plane
/// that has the same key. They hold for minutes: an address becomes another's. Immutable, thread safe.
/// </summary>
/// <param name="key">The key that all control planes of the mesh share.</param>
/// <param name="time">The clock.</param>
internal sealed class AddressProofs(ReadOnlyMemory<byte> key, TimeProvider time)
{
    /// <summary>How long a proof holds.</summary>
    public static readonly TimeSpan ValidFor = TimeSpan.FromMinutes(10);

    private const int TimeBytes = 8;

    /// <summary>A proof for an identity at an address it was seen at.</summary>
    public byte[] Make(string identity, IPAddress address) => Make(identity, address, (time.GetUtcNow() + ValidFor).ToUnixTimeSeconds());

    /// <summary>Until when the proof holds that the identity has the address; null when it does not.</summary>
    public DateTimeOffset? Until(string identity, IPAddress address, ReadOnlySpan<byte> proof)
    {
        if (proof.Length != TimeBytes + HMACSHA256.HashSizeInBytes) return null;
        var seconds = BinaryPrimitives.ReadInt64BigEndian(proof);
        if (!CryptographicOperations.FixedTimeEquals(proof, Make(identity, address, seconds))) return null;
        var until = DateTimeOffset.FromUnixTimeSeconds(seconds);
        return until > time.GetUtcNow() ? until : null;
    }

    private byte[] Make(string identity, IPAddress address, long seconds)
    {
        // An identity has no line breaks, an address one form.
        var said = Encoding.UTF8.GetBytes($"mesh address proof\n{identity}\n{address}\n{seconds}");
        var proof = new byte[TimeBytes + HMACSHA256.HashSizeInBytes];
        BinaryPrimitives.WriteInt64BigEndian(proof, seconds);
        HMACSHA256.HashData(key.Span, said, proof.AsSpan(TimeBytes));
        return proof;
    }
}
