using System.Buffers.Binary;
using System.Net;
using Mesh.Api.Xds;

namespace Mesh.Sidecar.Config;

/// <summary>
/// The addresses of the mesh's workloads, as they came: packed and sorted, in parts by their last byte. A search is one of a few steps, and a change
/// costs nothing but its part. Immutable.
/// </summary>
internal sealed class WorkloadAddresses
{
    private const int V4 = 4;
    private const int V6 = 16;
    private readonly ReadOnlyMemory<byte>[] parts4 = new ReadOnlyMemory<byte>[TypeUrls.WorkloadsParts];
    private readonly ReadOnlyMemory<byte>[] parts6 = new ReadOnlyMemory<byte>[TypeUrls.WorkloadsParts];

    /// <summary>Puts parts together; what none of them holds is nobody's.</summary>
    public WorkloadAddresses(IEnumerable<WorkloadsPart> parts)
    {
        foreach (var part in parts) (parts4[part.Number], parts6[part.Number]) = (part.V4, part.V6);
    }

    /// <summary>Nobody's.</summary>
    public static WorkloadAddresses None { get; } = new([]);

    /// <summary>How many there are.</summary>
    public int Count => parts4.Sum(part => part.Length / V4) + parts6.Sum(part => part.Length / V6);

    /// <summary>True for one of them.</summary>
    public bool Contains(IPAddress address) => Contains(Destination.Of(address, 0));

    /// <summary>True for one of them; the port means nothing.</summary>
    public bool Contains(Destination destination)
    {
        Span<byte> bytes = stackalloc byte[V6];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, destination.High);
        BinaryPrimitives.WriteUInt64BigEndian(bytes[8..], destination.Low);
        var isV4 = destination.High == 0 && destination.Low >> 32 == 0xffff;
        var wanted = isV4 ? bytes[^V4..] : bytes;
        var length = wanted.Length;
        var part = (length == V4 ? parts4 : parts6)[wanted[^1] % TypeUrls.WorkloadsParts].Span;
        var (low, high) = (0, (part.Length / length) - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            var order = part.Slice(middle * length, length).SequenceCompareTo(wanted);
            if (order == 0) return true;
            if (order < 0) low = middle + 1;
            else high = middle - 1;
        }

        return false;
    }
}

/// <summary>One of the parts. Immutable.</summary>
/// <param name="Number">Which.</param>
/// <param name="V4">Addresses of IPv4, packed and sorted.</param>
/// <param name="V6">Addresses of IPv6, packed and sorted.</param>
internal sealed record WorkloadsPart(int Number, ReadOnlyMemory<byte> V4, ReadOnlyMemory<byte> V6);
