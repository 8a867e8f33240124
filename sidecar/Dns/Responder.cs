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

        var length = FromMesh(message, answer, tcp, query, lastWord: false);
        return length > 0 ? length : Forward;
    }

    /// <summary>
    /// The length of what is said, in <paramref name="answer"/> (512 bytes at least), instead of what the resolvers said (<paramref name="heard"/>, empty when
    /// nobody answered); 0 when that is passed on. A name of the mesh is there, whoever does not know it. And before there is a table nobody hears that
    /// a name of the mesh's own form does not exist: who asks is told that nobody knows yet, and asks again, instead of giving up.
    /// </summary>
    public int Instead(ReadOnlySpan<byte> message, DnsQuery query, ReadOnlySpan<byte> heard, Span<byte> answer, bool tcp)
    {
        var knows = !heard.IsEmpty && ResolverAnswers.CodeOf(heard) == DnsCode.None;
        if (!knows && FromMesh(message, answer, tcp, query, lastWord: true) is > 0 and var length) return length;
        if (heard.IsEmpty) return Fail(message, answer, query, DnsOutcome.Unanswered);
        if (ResolverAnswers.CodeOf(heard) == DnsCode.NoSuchName && !mesh.Known && MayBeMesh(message, query)) return Fail(message, answer, query, DnsOutcome.Unknown);
        counters.Add(DnsOutcome.Forwarded);
        return 0;
    }

    /// <summary>Refuses for want of an answer.</summary>
    public int Fail(ReadOnlySpan<byte> message, Span<byte> answer, DnsQuery query, DnsOutcome why)
    {
        counters.Add(why);
        return AnswerWriter.Refuse(answer, message, query, DnsCode.Failed);
    }

    private int FromMesh(ReadOnlySpan<byte> message, Span<byte> answer, bool tcp, DnsQuery query, bool lastWord)
    {
        var limit = tcp ? answer : answer[..Math.Min(answer.Length, query.MostUdp)];
        var length = mesh.Answer(message, query, limit, lastWord, out var outcome);
        if (length > 0) counters.Add(outcome == MeshOutcome.Addresses ? DnsOutcome.Mesh : DnsOutcome.MeshNothing);
        return length;
    }

    /// <summary>Names like <c>cart</c>, <c>cart.service.consul</c>, <c>cart.shop.svc</c> and <c>cart.shop.svc.cluster.local</c>; not <c>cart.shop</c>, which any domain looks like.</summary>
    private static bool MayBeMesh(ReadOnlySpan<byte> message, DnsQuery query)
    {
        if (query.Opcode != DnsWire.Query) return false;
        Span<byte> name = stackalloc byte[DnsWire.MostName];
        name = name[..DnsQuery.ReadName(message, name)];
        var dots = name.Count((byte)'.');
        return dots switch
        {
            0 => !name.IsEmpty,
            2 => name.EndsWith(".service.consul"u8) || name.EndsWith(".svc"u8),
            4 => name.EndsWith(".svc.cluster.local"u8),
            _ => false,
        };
    }
}
