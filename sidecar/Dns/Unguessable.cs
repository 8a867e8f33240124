namespace Mesh.Sidecar.Dns;

/// <summary>
/// Numbers that nobody who forges answers can know. Of a Guid's random bytes: a generator for secrets would load OpenSSL, 3 MB that a sidecar without TLS never
/// needs. Thread safe.
/// </summary>
internal static class Unguessable
{
    /// <summary>Any number of 32 bits.</summary>
    public static uint Number()
    {
        Span<byte> bytes = stackalloc byte[16];
        Guid.NewGuid().TryWriteBytes(bytes);
        return BitConverter.ToUInt32(bytes);
    }
}
