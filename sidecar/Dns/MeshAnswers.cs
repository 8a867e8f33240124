using System.Text;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Resilience;

namespace Mesh.Sidecar.Dns;

/// <summary>
/// Answers for the names of the mesh, from the table that the newest snapshot holds whole: nobody is asked. Thread safe; allocates nothing but for
/// the name of one instance of a headless service.
/// </summary>
internal sealed class MeshAnswers(Snapshots snapshots, Ipv6Routes routes, Randomness random)
{
    /// <summary>How long answers hold, in seconds: virtual addresses stay for long, instances do not.</summary>
    public const uint Ttl = 30;

    /// <summary>Addresses beyond which an answer to a headless service is cut: which ones differs from answer to answer.</summary>
    public const int MostInstances = 1000;

    /// <summary>True once there is a table.</summary>
    public bool Known => snapshots.Current.Names is not null;

    /// <summary>
    /// The answer in <paramref name="answer"/>, which is as long as it may become; 0 for names that are not the mesh's. What is asked for besides addresses (SRV of a
    /// service that Consul knows, too) may be known elsewhere: it has nothing of it only where it is the <paramref name="lastWord"/>.
    /// </summary>
    public int Answer(ReadOnlySpan<byte> message, DnsQuery query, Span<byte> answer, bool lastWord, out MeshOutcome outcome)
    {
        outcome = MeshOutcome.None;
        if (query.Opcode != DnsWire.Query || query.Class != DnsWire.Internet || snapshots.Current is not { Names: { } names } snapshot) return 0;
        Span<byte> name = stackalloc byte[DnsWire.MostName];
        name = name[..DnsQuery.ReadName(message, name)];
        if (query.Type == DnsWire.Ptr && AnswerReverse(message, query, answer, snapshot, name, out outcome) is > 0 and var length) return length;
        if (name.IsEmpty || !(lastWord || IsOfAddresses(query.Type)) || !names.TryFind(name, out var found)) return 0;
        if (query.HasEdns && query.EdnsVersion > 0)
        {
            outcome = MeshOutcome.Nothing;
            return AnswerWriter.Refuse(answer, message, query, DnsCode.BadVersion);
        }

        var v4 = found.V4;
        var v6 = found.V6;
        if (found.InstancesOf.Length > 0 && !Instances(snapshot, found, out v4, out v6)) return 0;
        var writer = AnswerWriter.Begin(answer, message, query);
        var written = 0;
        if (query.Type is DnsWire.A or DnsWire.Any) written += Add(ref writer, DnsWire.A, v4, 4, snapshot);
        if (query.Type is DnsWire.Aaaa or DnsWire.Any) written += Add(ref writer, DnsWire.Aaaa, v6, 16, snapshot);
        if (written == 0) writer.AddNothing(Ttl);
        outcome = written == 0 ? MeshOutcome.Nothing : MeshOutcome.Addresses;
        return writer.End(DnsCode.None);
    }

    /// <summary>Whose a virtual address is: nobody else knows, so this is the last word. 0 for other addresses.</summary>
    private static int AnswerReverse(ReadOnlySpan<byte> message, DnsQuery query, Span<byte> answer, Snapshot snapshot, scoped ReadOnlySpan<byte> name, out MeshOutcome outcome)
    {
        outcome = MeshOutcome.None;
        Span<byte> address = stackalloc byte[16];
        address = address[..ReverseName.Read(name, address)];
        if (address.IsEmpty || snapshot.Ranges?.KindOf(Destination.Of(address, 0)) != RangeKind.Virtual) return 0;
        Span<byte> owner = stackalloc byte[DnsWire.MostName];
        owner = owner[..snapshot.Names!.NameOf(address, owner)];
        var writer = AnswerWriter.Begin(answer, message, query);
        if (owner.IsEmpty) writer.AddNothing(Ttl);
        else writer.AddName(owner, Ttl);
        outcome = owner.IsEmpty ? MeshOutcome.Nothing : MeshOutcome.Addresses;
        return writer.End(owner.IsEmpty ? DnsCode.NoSuchName : DnsCode.None);
    }

    /// <summary>HTTPS and SVCB name addresses, too: those of somebody else would lead past the mesh.</summary>
    private static bool IsOfAddresses(ushort type) => type is DnsWire.A or DnsWire.Aaaa or DnsWire.Any or DnsWire.Https or DnsWire.Svcb;

    /// <summary>The addresses of a headless service, or of the instance that is asked for; false when there is no such instance.</summary>
    private static bool Instances(Snapshot snapshot, scoped MeshName found, out ReadOnlySpan<byte> v4, out ReadOnlySpan<byte> v6)
    {
        v4 = v6 = default;
        if (snapshot.ClusterOf(found.InstancesOf) is not { } cluster) return found.Instance.IsEmpty;
        var addresses = found.Instance.IsEmpty ? cluster.Addresses : InstanceAddresses.Of(cluster.Endpoints, Encoding.ASCII.GetString(found.Instance));
        v4 = addresses.V4;
        v6 = addresses.V6;
        return found.Instance.IsEmpty || v4.Length + v6.Length > 0;
    }

    /// <summary>Writes addresses, beginning with any one of them; how many could be written.</summary>
    private int Add(ref AnswerWriter writer, ushort type, scoped ReadOnlySpan<byte> addresses, int size, Snapshot snapshot)
    {
        var count = addresses.Length / size;
        var first = count > 1 ? (int)random.Below((uint)count) : 0;
        var written = 0;
        for (var i = 0; i < Math.Min(count, MostInstances); i++)
        {
            var address = addresses.Slice((first + i) % count * size, size);
            if (type == DnsWire.Aaaa && !routes.Lead(address, snapshot.Ranges)) continue;
            if (!writer.Add(type, address, Ttl)) break;
            written++;
        }

        return written;
    }
}

/// <summary>What became of a question about the mesh.</summary>
internal enum MeshOutcome
{
    /// <summary>It was none.</summary>
    None,

    /// <summary>There are addresses.</summary>
    Addresses,

    /// <summary>The name is there, and nothing of what was asked for.</summary>
    Nothing,
}
