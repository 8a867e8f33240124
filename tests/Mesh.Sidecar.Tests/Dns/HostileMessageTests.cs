using FsCheck;
using FsCheck.Fluent;
using Mesh.Sidecar.Dns;

namespace Mesh.Sidecar.Tests.Dns;

/// <summary>Messages nobody sends who means well: never a crash, never more bytes than were sent.</summary>
public sealed class HostileMessageTests
{
    private const int None = -1;

    public static TheoryData<string, byte[], int> Messages_ => new()
    {
        { "nothing", [], None },
        { "shorter than a header", new byte[11], None },
        { "an answer", With(2, 0x81), None },
        { "zero bytes", new byte[12], 1 },
        { "zero bytes, 4 KiB", new byte[4096], 1 },
        { "two questions", With(5, 2), 1 },
        { "65535 questions", With(4, 0xFF, 0xFF), 1 },
        { "no question", With(5, 0), 1 },
        { "a status query", With(2, 0x10), 4 },
        { "opcode 15", With(2, 0x78), 4 },
        { "a name that points to itself", [.. Header(1), 0xC0, 12, 0, 1, 0, 1], 1 },
        { "a name that points ahead", [.. Header(1), 0xC0, 14, 0xC0, 12, 0, 1, 0, 1], 1 },
        { "a label of 64 bytes", [.. Header(1), 64, .. new byte[64], 0, 0, 1, 0, 1], 1 },
        { "a label that ends behind the end", [.. Header(1), 63, 65, 66], 1 },
        { "a name of 256 bytes", [.. Header(1), .. Enumerable.Repeat((byte[])[63, .. Enumerable.Repeat((byte)'a', 63)], 4).SelectMany(b => b), 0, 0, 1, 0, 1], 1 },
        { "a question without a class", [.. Header(1), 0, 0, 1], 1 },
        { "records that are not there", With(7, 200), 1 },
        { "two OPT records", [.. With(11, 2), .. Opt, .. Opt], 1 },
        { "an OPT record with a name", [.. With(11, 1), 1, 97, .. Opt], 1 },
        { "an OPT record whose data ends behind the end", [.. With(11, 1), .. Opt[..^1], 9], 1 },
    };

    private static byte[] Opt => [0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0];

    [Theory]
    [MemberData(nameof(Messages_))]
    public void IsRefusedByCodeOrNotAtAll(string what, byte[] message, int code)
    {
        var (counters, answer) = (new DnsCounters(), new byte[4096]);
        var length = Given.Responder(Given.With(Given.Shop), counters).Answer(message, answer, tcp: false, Given.Client, out _);
        Assert.True(length == (code == None ? 0 : length) && length >= 0, what);
        if (code != None) Assert.Equal(code, answer[3] & 15);
        Assert.True(length <= Math.Max(12, message.Length), what);
        Assert.Equal(1, counters[DnsOutcome.Dropped] + counters[DnsOutcome.Malformed]);
    }

    [Fact]
    public void SixtyFourKibibytesOfAnythingAreRead()
    {
        var responder = Given.Responder(Given.With(Given.Shop));
        foreach (var value in new byte[] { 0, 1, 0x3F, 0x40, 0xC0, 0xFF })
        {
            var message = new byte[65535];
            message.AsSpan().Fill(value);
            responder.Answer(message, new byte[65534], tcp: true, Given.Client, out _);
            message[2] = 0;
            responder.Answer(message, new byte[65534], tcp: true, Given.Client, out _);
            Header(1).CopyTo(message, 0);
            responder.Answer(message, new byte[65534], tcp: true, Given.Client, out _);
        }
    }

    [Fact]
    public void AMutatedQueryNeverCrashesAndNeverGetsMoreThanAName()
    {
        byte[][] seeds = [Messages.Query("cart"), Messages.Query("pods-1.pods.shop.svc.cluster.local", Messages.Aaaa, udp: 4096), Messages.Query("api.example.com", Messages.Any)];
        var responder = Given.Responder(Given.With(Given.Shop, "10.1.0.1", "10.1.0.2"));
        var mutations =
            from seed in Gen.Choose(0, seeds.Length - 1)
            from changes in Changes(70)
            from cut in Gen.Choose(0, 80)
            select (seed, changes, cut);
        Prop.ForAll(mutations.ToArbitrary(), made =>
        {
            var (seed, changes, cut) = made;
            var message = seeds[seed].ToArray();
            foreach (var (at, value) in changes) message[at % message.Length] = (byte)value;
            message = message[..Math.Min(message.Length, cut)];
            var answer = new byte[4096];
            var length = responder.Answer(message, answer, tcp: false, Given.Client, out _);
            // Whatever it says, it is to this identifier, is an answer, and adds no more than two records and OPT.
            return length <= 0 || (answer[0] == message[0] && answer[1] == message[1] && (answer[2] & 0x80) != 0 && length <= message.Length + 11 + 36 + (3 * 28));
        }).Check(FsCheck.Config.QuickThrowOnFailure.WithMaxTest(20000).WithQuietOnSuccess(true));
    }

    [Fact]
    public void AMutatedAnswerOfAResolverIsJudgedAndNothingElse()
    {
        var query = Messages.Query("Example.COM", udp: 1232);
        var good = Messages.Answer(query, 0, "192.0.2.1");
        var end = Messages.QuestionEnd(query);
        Assert.Equal(AnswerWorth.Good, ResolverAnswers.Judge(good, query, end));
        var mutations =
            from changes in Changes(good.Length)
            from cut in Gen.Choose(0, good.Length)
            select (changes, cut);
        Prop.ForAll(mutations.ToArbitrary(), made =>
        {
            var (changes, cut) = made;
            var answer = good.ToArray();
            foreach (var (at, value) in changes) answer[at] = (byte)value;
            answer = answer[..cut];
            var worth = ResolverAnswers.Judge(answer, query, end);
            // What is not the same question by the same identifier is never good.
            var same = cut >= end && answer[0] == query[0] && answer[1] == query[1] && (answer[2] & 0xF8) == 0x80
                && string.Equals(Text(answer, end), Text(query, end), StringComparison.OrdinalIgnoreCase);
            return worth != AnswerWorth.Good || same;
        }).Check(FsCheck.Config.QuickThrowOnFailure.WithMaxTest(20000).WithQuietOnSuccess(true));

        static string Text(byte[] message, int end) => System.Text.Encoding.Latin1.GetString(message[12..end]);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(5)]
    public void WhoRefusesWithoutTheQuestionHasRefused(byte code)
    {
        var query = Messages.Query("example.com");
        byte[] refusal = [query[0], query[1], 0x81, (byte)(0x80 | code), 0, 0, 0, 0, 0, 0, 0, 0];
        Assert.Equal(AnswerWorth.Refusal, ResolverAnswers.Judge(refusal, query, query.Length));
        refusal[3] = 0x83; // without a question nobody is told that a name does not exist
        Assert.Equal(AnswerWorth.None, ResolverAnswers.Judge(refusal, query, query.Length));
    }

    /// <summary>Bytes to change: where and to what.</summary>
    private static Gen<(int At, int Value)[]> Changes(int length) =>
        (from at in Gen.Choose(0, length - 1) from value in Gen.Choose(0, 255) select (at, value)).ArrayOf();

    private static byte[] Header(byte questions) => [0, 1, 1, 0, 0, questions, 0, 0, 0, 0, 0, 0];

    private static byte[] With(int at, params byte[] values)
    {
        var message = Messages.Query("cart");
        values.CopyTo(message, at);
        return message;
    }
}
