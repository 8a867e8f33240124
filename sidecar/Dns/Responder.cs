using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Dns;

/// <summary>Says at once what can be said at once: what a query is, and what the mesh's table answers. Thread safe; allocates nothing.</summary>
internal sealed class Responder(MeshAnswers mesh, OwnQueries own, DnsCounters counters)
{
    /// <summary>Forward it.</summary>
    public const int Forward = -1;

    /// <summary>
    /// The length of the answer in <paramref name="answer"/> (512 bytes at least, and as long as it may become); 0 for none at all;
    /// <see cref="Forward"/> when others have to be asked.
    /// </summary>
    public int Answer(ReadOnlySpan<byte> message, Span<byte> answer, bool tcp, Destination from, out DnsQuery query)
    {
        switch (DnsQuery.Read(message, out query))
        {
            case QueryForm.Unanswerable:
                counters.Add(DnsOutcome.Dropped);
                return 0;
            case QueryForm.Malformed:
                counters.Add(DnsOutcome.Malformed);
                return AnswerWriter.Refuse(answer, message, query, DnsCode.Malformed);
            case QueryForm.NotImplemented:
                counters.Add(DnsOutcome.Malformed);
                return AnswerWriter.Refuse(answer, message, query, DnsCode.NotImplemented);
        }

        if (own.Has(query.Id, tcp, from))
        {
            counters.Add(DnsOutcome.Loop);
            return AnswerWriter.Refuse(answer, message, query, DnsCode.Refused);
        }

        var limit = tcp ? answer : answer[..Math.Min(answer.Length, query.MostUdp)];
        var length = mesh.Answer(message, query, limit, out var outcome);
        if (length == 0) return Forward;
        counters.Add(outcome == MeshOutcome.Addresses ? DnsOutcome.Mesh : DnsOutcome.MeshNothing);
        return length;
    }

    /// <summary>
    /// Whether the resolvers' word that a name does not exist may be passed on. Not before there is a table, when the name has the form of the mesh's own: who asks
    /// hears that nobody knows yet, and asks again, instead of giving up.
    /// </summary>
    public bool Believes(ReadOnlySpan<byte> message, DnsQuery query, ReadOnlySpan<byte> answer)
    {
        if (mesh.Known || ResolverAnswers.CodeOf(answer) != DnsCode.NoSuchName || query.Opcode != DnsWire.Query) return true;
        Span<byte> name = stackalloc byte[DnsWire.MostName];
        return !MayBeMesh(name[..DnsQuery.ReadName(message, name)]);
    }

    /// <summary>Refuses for want of an answer.</summary>
    public int Fail(ReadOnlySpan<byte> message, Span<byte> answer, DnsQuery query, DnsOutcome why)
    {
        counters.Add(why);
        return AnswerWriter.Refuse(answer, message, query, DnsCode.Failed);
    }

    /// <summary>Names like <c>cart</c>, <c>cart.service.consul</c>, <c>cart.shop.svc</c> and <c>cart.shop.svc.cluster.local</c>; not <c>cart.shop</c>, which any domain looks like.</summary>
    private static bool MayBeMesh(ReadOnlySpan<byte> name)
    {
        var dots = name.Count((byte)'.');
        if (dots == 0) return !name.IsEmpty;
        return (dots == 2 && (name.EndsWith(".service.consul"u8) || name.EndsWith(".svc"u8))) || (dots == 4 && name.EndsWith(".svc.cluster.local"u8));
    }
}
