using System.Buffers.Binary;

namespace Mesh.Sidecar.Dns;

/// <summary>What an answer of a resolver is worth.</summary>
internal enum AnswerWorth
{
    /// <summary>It answers something else: forged, or late.</summary>
    None,

    /// <summary>The resolver cannot or will not say: another may.</summary>
    Refusal,

    /// <summary>It is the answer.</summary>
    Good,
}

/// <summary>Looks at answers of resolvers. Stateless.</summary>
internal static class ResolverAnswers
{
    /// <summary>What <paramref name="answer"/> is to the query we sent: same identifier, same question, whatever the case of its letters.</summary>
    public static AnswerWorth Judge(ReadOnlySpan<byte> answer, ReadOnlySpan<byte> query, int questionEnd)
    {
        if (answer.Length < DnsWire.Header || answer[0] != query[0] || answer[1] != query[1]) return AnswerWorth.None;
        if ((answer[2] & 0x80) == 0 || ((answer[2] ^ query[2]) & 0x78) != 0) return AnswerWorth.None;
        var refuses = CodeOf(answer) is DnsCode.Malformed or DnsCode.Failed or DnsCode.NotImplemented or DnsCode.Refused;
        // Some refuse without repeating the question.
        if (answer[4] == 0 && answer[5] == 0) return refuses ? AnswerWorth.Refusal : AnswerWorth.None;
        if (answer[4] != 0 || answer[5] != 1 || answer.Length < questionEnd) return AnswerWorth.None;
        if (!SameQuestion(answer[DnsWire.Header..questionEnd], query[DnsWire.Header..questionEnd])) return AnswerWorth.None;
        return refuses ? AnswerWorth.Refusal : AnswerWorth.Good;
    }

    /// <summary>The code an answer ends with.</summary>
    public static DnsCode CodeOf(ReadOnlySpan<byte> answer) => (DnsCode)(answer[3] & 15);

    /// <summary>Gives a message another identifier.</summary>
    public static void SetId(Span<byte> message, ushort id) => BinaryPrimitives.WriteUInt16BigEndian(message, id);

    /// <summary>The same name in any case, type and class. (Length bytes of labels are below the letters.)</summary>
    private static bool SameQuestion(ReadOnlySpan<byte> one, ReadOnlySpan<byte> other)
    {
        for (var i = 0; i < one.Length - 4; i++)
        {
            if (Lower(one[i]) != Lower(other[i])) return false;
        }

        return one[^4..].SequenceEqual(other[^4..]);

        static int Lower(byte letter) => letter is >= (byte)'A' and <= (byte)'Z' ? letter + 32 : letter;
    }
}
