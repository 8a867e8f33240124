using System.Security.Cryptography;
using System.Text;
using Mesh.Api.Identity;
using Mesh.Tests;

namespace Mesh.Api.Tests.Identity;

/// <summary>Join tokens: what is altered, over, or not ours is refused, and no part of one reaches a log.</summary>
public class JoinTokenTests
{
    private const string Root = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    private static readonly byte[] Key = [.. Enumerable.Range(0, 32).Select(i => (byte)i)];
    private static readonly byte[] OtherKey = [.. Enumerable.Range(100, 32).Select(i => (byte)i)];
    private static readonly DateTimeOffset Now = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public static TheoryData<string, string> BadTexts => new()
    {
        { "", "does not start with 'mesh1.'" },
        { "mesh2.e30.AAAA", "does not start with 'mesh1.'" },
        { "MESH1.e30.AAAA", "does not start with 'mesh1.'" },
        { "Bearer mesh1.e30.AAAA", "does not start with 'mesh1.'" },
        { "mesh1.", "three parts" },
        { "mesh1.e30", "three parts" },
        { "mesh1.e30.AAAA.AAAA", "three parts" },
        { "mesh1.e30.", "signature is no base64url" },
        { "mesh1.e30.AAAA", "signature is no base64url of 32 bytes" },
        { "mesh1.e30." + new string('A', 44), "signature is no base64url of 32 bytes" },
        { "mesh1.e30." + new string('A', 42) + "B", "signature is no base64url" },
        { "mesh1.e30." + new string('A', 42) + "+", "signature is no base64url" },
        { "mesh1.e30=." + new string('A', 43), "content is no base64url" },
        { "mesh1.e3+." + new string('A', 43), "content is no base64url" },
        { "mesh1.e31." + new string('A', 43), "content is no base64url" },
        { "mesh1.." + new string('A', 43), "no JSON object" },
        { "mesh1." + new string('A', 9000) + "." + new string('A', 43), "8192 are allowed" },
    };

    public static TheoryData<string, string> BadContents => new()
    {
        { "", "no JSON object" },
        { "null", "no JSON object" },
        { "[]", "no JSON object" },
        { "7", "no JSON object" },
        { "{", "no JSON object" },
        { "{} {}", "no JSON object" },
        { "{}", "'id'" },
        { With("\"id\":7"), "'id'" },
        { With("\"id\":\"short\""), "'id'" },
        { With("\"id\":\"../../../etc/passwd00\""), "'id'" },
        { With("\"id\":\"" + new string('a', 65) + "\""), "'id'" },
        { With("\"identity\":\"\""), "'identity' is missing" },
        { With("\"identity\":null"), "'identity' is missing" },
        { With("\"identity\":\"cart\""), "starts with 'spiffe://'" },
        { With("\"identity\":\"spiffe://TD/ns/a/sa/b\""), "upper-case" },
        { With("\"identity\":\"spiffe://td/ns/a/sa/b/\""), "empty segment" },
        { With("\"identity\":\"spiffe://td\""), "names a trust domain" },
        { With("\"root\":\"\""), "'root'" },
        { With("\"root\":\"" + Root[2..] + "\""), "'root'" },
        { With("\"root\":\"" + Root.ToUpperInvariant() + "\""), "'root'" },
        { With("\"root\":\"" + Root.Replace('0', 'g') + "\""), "'root'" },
        { With("\"expires\":\"1893456000\""), "'expires'" },
        { With("\"expires\":1.5"), "'expires'" },
        { With("\"expires\":-1"), "'expires'" },
        { With("\"expires\":1e30"), "'expires'" },
        { With("\"expires\":null"), "'expires'" },
        { With("\"serves\":\"cart\""), "'serves'" },
        { With("\"serves\":[7]"), "'serves'" },
        { With("\"serves\":[\"\"]"), "'serves'" },
        { With("\"serves\":[" + string.Join(',', Enumerable.Repeat("\"a\"", 65)) + "]"), "'serves'" },
        { With("\"addresses\":{}"), "'addresses'" },
        { With("\"addresses\":[null]"), "'addresses'" },
        { With("\"admin\":true"), "does not know" },
        { With("\"Identity\":\"spiffe://td/ns/a/sa/admin\""), "does not know" },
        { Content()[..^1] + ",\"identity\":\"spiffe://td/ns/a/sa/admin\"}", "each member once" },
        { With("\"serves\":[[[[[[]]]]]]"), "no JSON object" },
    };

    [Theory]
    [MemberData(nameof(BadTexts))]
    public void A_bad_text_is_refused_with_its_reason(string text, string reason) => AssertMalformed(text, reason);

    [Theory]
    [MemberData(nameof(BadContents))]
    public void Bad_content_is_refused_though_it_is_signed(string json, string reason) => AssertMalformed(Signed(json, Key), reason);

    [Fact]
    public void A_good_token_is_read_by_its_holder_and_verified_by_its_maker()
    {
        var made = Make();
        Assert.True(JoinToken.TryRead(made.Text, out var read, out var problem), problem);
        Assert.Equal((made.Id, made.Identity, made.Root, made.Expires), (read.Id, read.Identity, read.Root, read.Expires));
        Assert.Equal(["cart"], read.Serves.AsEnumerable());
        Assert.Equal(["10.0.0.7"], read.Addresses.AsEnumerable());
        var verdict = JoinToken.Verify("\n" + made.Text + "\n", [OtherKey, Key], Now);
        Assert.Equal(JoinTokenProblem.None, verdict.Problem);
        Assert.Equal(made.Id, verdict.Token!.Id);
    }

    [Fact]
    public void A_token_of_another_mesh_is_refused() =>
        Assert.Equal(JoinTokenProblem.BadSignature, JoinToken.Verify(Make().Text, [OtherKey], Now).Problem);

    [Fact]
    public void Without_keys_no_token_is_good() => Assert.Equal(JoinTokenProblem.BadSignature, JoinToken.Verify(Make().Text, [], Now).Problem);

    [Fact]
    public void A_token_ends_to_the_second()
    {
        var token = Make();
        Assert.Equal(JoinTokenProblem.None, JoinToken.Verify(token.Text, [Key], token.Expires.AddSeconds(-1)).Problem);
        Assert.Equal(JoinTokenProblem.Expired, JoinToken.Verify(token.Text, [Key], token.Expires).Problem);
    }

    [Fact]
    public void Altered_content_is_refused()
    {
        var parts = Make().Text.Split('.');
        var json = Encoding.UTF8.GetString(System.Buffers.Text.Base64Url.DecodeFromChars(parts[1])).Replace("/sa/cart", "/sa/bank", StringComparison.Ordinal);
        var altered = $"mesh1.{System.Buffers.Text.Base64Url.EncodeToString(Encoding.UTF8.GetBytes(json))}.{parts[2]}";
        Assert.Equal(JoinTokenProblem.BadSignature, JoinToken.Verify(altered, [Key], Now).Problem);
    }

    [Fact]
    public void A_signature_by_the_content_alone_is_refused()
    {
        // Signed without the version before it: another version's signature must not do for this one.
        var json = System.Buffers.Text.Base64Url.EncodeToString(Encoding.UTF8.GetBytes(Content()));
        var text = $"mesh1.{json}.{System.Buffers.Text.Base64Url.EncodeToString(HMACSHA256.HashData(Key, Encoding.ASCII.GetBytes(json)))}";
        Assert.Equal(JoinTokenProblem.BadSignature, JoinToken.Verify(text, [Key], Now).Problem);
    }

    [Fact]
    public void Two_tokens_are_never_the_same() => Assert.NotEqual(Make().Id, Make().Id);

    [Fact]
    public void A_token_is_not_to_be_read_in_logs()
    {
        var token = Make();
        Assert.DoesNotContain(token.Text, token.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain(token.Text.Split('.')[2], token.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain(token.Id, token.ToString(), StringComparison.Ordinal);
        Assert.Contains(CertificateForge.Workload, token.ToString(), StringComparison.Ordinal);
        Assert.False(JoinToken.TryRead(token.Text.Replace("mesh1.", "mesh9.", StringComparison.Ordinal), out _, out var problem));
        Assert.DoesNotContain(token.Text.Split('.')[1], problem, StringComparison.Ordinal);
    }

    [Fact]
    public void A_short_key_signs_nothing() =>
        Assert.Throws<ArgumentException>(() => JoinToken.Create(SpiffeId.Parse(CertificateForge.Workload), [], [], Now, Root, Key.AsSpan(0, 16)));

    private static void AssertMalformed(string text, string reason)
    {
        Assert.False(JoinToken.TryRead(text, out var token, out var problem));
        Assert.Null(token);
        Assert.Contains(reason, problem, StringComparison.Ordinal);
        var verdict = JoinToken.Verify(text, [Key], Now);
        Assert.Equal((null, JoinTokenProblem.Malformed, problem), (verdict.Token, verdict.Problem, verdict.Text));
    }

    private static JoinToken Make() =>
        JoinToken.Create(SpiffeId.Parse(CertificateForge.Workload), ["cart"], ["10.0.0.7"], Now.AddMinutes(10), Root, Key);

    /// <summary>Good content with one member replaced or added.</summary>
    private static string With(string member)
    {
        var name = member[..(member.IndexOf(':', StringComparison.Ordinal) + 1)];
        var members = Members().Where(m => !m.StartsWith(name, StringComparison.Ordinal)).Append(member);
        return "{" + string.Join(',', members) + "}";
    }

    private static string Content() => "{" + string.Join(',', Members()) + "}";

    private static string[] Members() =>
    [
        "\"id\":\"0123456789abcdef\"", "\"identity\":\"spiffe://td/ns/a/sa/b\"", "\"serves\":[\"b\"]", "\"expires\":1893456600",
        "\"root\":\"" + Root + "\"", "\"addresses\":[]",
    ];

    private static string Signed(string json, byte[] key)
    {
        var signed = "mesh1." + System.Buffers.Text.Base64Url.EncodeToString(Encoding.UTF8.GetBytes(json));
        return $"{signed}.{System.Buffers.Text.Base64Url.EncodeToString(HMACSHA256.HashData(key, Encoding.ASCII.GetBytes(signed)))}";
    }
}
