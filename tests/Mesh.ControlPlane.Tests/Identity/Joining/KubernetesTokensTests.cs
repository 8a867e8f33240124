using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Mesh.Api.Identity;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Joining;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Identity.Joining;

/// <summary>Projected service-account tokens: what is taken, and the table of what is not.</summary>
public sealed class KubernetesTokensTests : IDisposable
{
    private const string Issuer = "https://kubernetes.default.svc.cluster.local";
    private readonly TemporaryFolder folder = new();
    private readonly ManualTimeProvider time = new();
    private readonly RSA rsa = RSA.Create(2048);
    private readonly ECDsa ec = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    public KubernetesTokensTests() => WriteKeys();

    public void Dispose()
    {
        folder.Dispose();
        rsa.Dispose();
        ec.Dispose();
    }

    [Theory]
    [InlineData("RS256", "mesh-ca")]
    [InlineData("ES256", "mesh-ca")]
    [InlineData("RS256", "istio-ca")]
    public void A_pods_token_says_who_it_is(string algorithm, string audience)
    {
        var (id, problem) = Open().Verify(Token(algorithm, Claims(("aud", new[] { "other", audience }))));
        Assert.Null(problem);
        Assert.Equal("spiffe://cluster.local/ns/shop/sa/cart", id!.ToString());
    }

    [Fact]
    public void An_audience_may_be_a_single_text() => Assert.NotNull(Open().Verify(Token("RS256", Claims(("aud", "mesh-ca")))).Id);

    [Theory]
    [InlineData("iss", null, "iss")]
    [InlineData("iss", "https://evil", "issuer")]
    [InlineData("sub", null, "sub")]
    [InlineData("sub", "system:serviceaccount:shop", "subject")]
    [InlineData("sub", "system:serviceaccount:shop:cart:x", "subject")]
    [InlineData("sub", "system:serviceaccount::cart", "subject")]
    [InlineData("sub", "system:serviceaccount:shop:../../mesh-system/sa/control-plane", "subject")]
    [InlineData("sub", "system:serviceaccount:Shop:cart", "subject")]
    [InlineData("sub", "system:serviceaccount:shop:cart%2f", "subject")]
    [InlineData("sub", "system:node:one", "subject")]
    [InlineData("sub", 5, "sub")]
    [InlineData("aud", null, "audience")]
    [InlineData("aud", "https://kubernetes.default.svc", "audience")]
    [InlineData("aud", "Mesh-CA", "audience")]
    [InlineData("aud", 5, "parts")]
    [InlineData("exp", null, "exp")]
    [InlineData("exp", 0, "ended")]
    [InlineData("exp", -1, "exp")]
    [InlineData("exp", "tomorrow", "exp")]
    [InlineData("exp", 1e300, "exp")]
    [InlineData("nbf", "now", "nbf")]
    [InlineData("nbf", 9_999_999_999L, "begins")]
    public void A_claim_that_is_wrong_is_refused(string claim, object? value, string words)
    {
        var (id, problem) = Open().Verify(Token("RS256", Claims((claim, value))));
        Assert.Null(id);
        Assert.Contains(words, problem);
    }

    [Fact]
    public void A_token_ends_to_the_second()
    {
        var text = Token("RS256", Claims());
        time.Advance(TimeSpan.FromSeconds(3599));
        Assert.NotNull(Open().Verify(text).Id);
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Contains("ended", Open().Verify(text).Problem);
    }

    public static TheoryData<string, string> Forgeries() => new()
    {
        { "alg none", "algorithm" },
        { "alg none, no signature", "algorithm" },
        { "alg None", "algorithm" },
        { "alg missing", "algorithm" },
        { "HS256 with the public key", "algorithm" },
        { "RS512", "algorithm" },
        { "PS256", "algorithm" },
        { "ES256 named, RSA key", "algorithm" },
        { "RS256 named, EC key", "algorithm" },
        { "other key", "signature" },
        { "wrong kid", "none of those" },
        { "no kid", "kid" },
        { "kid is a path", "none of those" },
        { "crit", "must be understood" },
        { "embedded jwk", "none of those" },
        { "changed claim", "signature" },
        { "changed header", "signature" },
        { "cut signature", "signature" },
        { "empty signature", "signature" },
        { "EC signature in DER", "signature" },
        { "EC signature of zeros", "signature" },
        { "two parts", "three parts" },
        { "five parts", "three parts" },
        { "empty", "three parts" },
        { "padding", "base64url" },
        { "standard base64", "base64url" },
        { "white space inside", "base64url" },
        { "no JSON", "JSON" },
        { "header is a list", "JSON" },
        { "claims are a list", "JSON" },
        { "doubled claim", "JSON" },
        { "doubled alg", "JSON" },
        { "deep", "JSON" },
        { "long", "letters" },
    };

    [Theory]
    [MemberData(nameof(Forgeries))]
    public void A_forgery_is_refused_for_its_reason(string how, string words)
    {
        var (id, problem) = Open().Verify(Forge(how));
        Assert.Null(id);
        Assert.Contains(words, problem);
    }

    [Theory]
    [InlineData("", "JSON")]
    [InlineData("{}", "JSON")]
    [InlineData("{\"keys\":[]}", "no key")]
    [InlineData("{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "kid")]
    [InlineData("{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"AQAB\"}]}", "taken are")]
    [InlineData("{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"alg\":\"RS512\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "taken are")]
    [InlineData("{\"keys\":[{\"kty\":\"EC\",\"kid\":\"a\",\"crv\":\"P-521\",\"x\":\"AQAB\",\"y\":\"AQAB\"}]}", "taken are")]
    [InlineData("{\"keys\":[{\"kty\":\"EC\",\"kid\":\"a\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"AQAB\"}]}", "cannot be read")]
    [InlineData("{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "'a'")]
    [InlineData("{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"d\":\"AQAB\"}]}", "private key")]
    [InlineData("{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"use\":\"enc\"}]}", "no key")]
    public void Keys_that_are_wrong_are_told_at_the_start(string json, string words)
    {
        File.WriteAllText(folder["jwks"], json);
        var e = Assert.Throws<StartException>(Open);
        Assert.Contains("--kube-jwks", e.Message);
        Assert.Contains(words, e.Message);
    }

    [Fact]
    public void Keys_that_change_are_taken_up_and_bad_ones_are_not()
    {
        var tokens = Open();
        using var next = RSA.Create(2048);
        File.WriteAllText(folder["jwks"], JsonSerializer.Serialize(new { keys = new[] { Jwk(next, "next") } }));
        Assert.Contains("none of those", tokens.Verify(Token("RS256", Claims())).Problem);
        var text = Sign("""{"alg":"RS256","kid":"next"}""", Claims(), data => next.SignData(data, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1));
        Assert.NotNull(tokens.Verify(text).Id);
        File.WriteAllText(folder["jwks"], "{");
        Assert.NotNull(tokens.Verify(text).Id);
    }

    private KubernetesTokens Open() => new(folder["jwks"], Issuer, "cluster.local", time, Log.Silent);

    private string Forge(string how)
    {
        var claims = Claims();
        var good = Token("RS256", claims);
        var parts = good.Split('.');
        byte[] Rsa(byte[] data) => rsa.SignData(data, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        string Head(string json) => Sign(json, claims, Rsa);
        return how switch
        {
            "alg none" => Sign("""{"alg":"none","kid":"rsa"}""", claims, _ => [1]),
            "alg none, no signature" => Sign("""{"alg":"none","kid":"rsa"}""", claims, _ => []),
            "alg None" => Sign("""{"alg":"nOnE","kid":"rsa"}""", claims, _ => [1]),
            "alg missing" => Head("""{"kid":"rsa"}"""),
            "HS256 with the public key" => Sign("""{"alg":"HS256","kid":"rsa"}""", claims, data => HMACSHA256.HashData(Encoding.ASCII.GetBytes(rsa.ExportSubjectPublicKeyInfoPem()), data)),
            "RS512" => Sign("""{"alg":"RS512","kid":"rsa"}""", claims, data => rsa.SignData(data, HashAlgorithmName.SHA512, RSASignaturePadding.Pkcs1)),
            "PS256" => Sign("""{"alg":"PS256","kid":"rsa"}""", claims, data => rsa.SignData(data, HashAlgorithmName.SHA256, RSASignaturePadding.Pss)),
            "ES256 named, RSA key" => Head("""{"alg":"ES256","kid":"rsa"}"""),
            "RS256 named, EC key" => Sign("""{"alg":"RS256","kid":"ec"}""", claims, data => ec.SignData(data, HashAlgorithmName.SHA256)),
            "other key" => Sign("""{"alg":"RS256","kid":"rsa"}""", claims, data => RSA.Create(2048).SignData(data, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)),
            "wrong kid" => Head("""{"alg":"RS256","kid":"nobody"}"""),
            "no kid" => Head("""{"alg":"RS256"}"""),
            "kid is a path" => Head("""{"alg":"RS256","kid":"../../../dev/null"}"""),
            "crit" => Head("""{"alg":"RS256","kid":"rsa","crit":["exp"]}"""),
            "embedded jwk" => Head("""{"alg":"RS256","kid":"mine","jwk":{"kty":"RSA"}}"""),
            "changed claim" => $"{parts[0]}.{Encode(claims.Replace("cart", "payments", StringComparison.Ordinal))}.{parts[2]}",
            "changed header" => $"{Encode("""{"alg":"RS256", "kid":"rsa"}""")}.{parts[1]}.{parts[2]}",
            "cut signature" => Sign("""{"alg":"RS256","kid":"rsa"}""", claims, data => Rsa(data)[..^1]),
            "empty signature" => Sign("""{"alg":"RS256","kid":"rsa"}""", claims, _ => []),
            "EC signature in DER" => Sign("""{"alg":"ES256","kid":"ec"}""", claims, data => ec.SignData(data, HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence)),
            "EC signature of zeros" => Sign("""{"alg":"ES256","kid":"ec"}""", claims, _ => new byte[64]),
            "two parts" => $"{parts[0]}.{parts[1]}",
            "five parts" => good + ".a.b",
            "empty" => "",
            "padding" => good + "=",
            "standard base64" => $"{parts[0]}.{parts[1]}.{Convert.ToBase64String(new byte[] { 0xfb, 0xff, 0xfe })}",
            "white space inside" => $"{parts[0]}. {parts[1]}.{parts[2]}",
            "no JSON" => $"{Encode("hello")}.{parts[1]}.{parts[2]}",
            "header is a list" => Head("[]"),
            "claims are a list" => Sign("""{"alg":"RS256","kid":"rsa"}""", "[]", Rsa),
            "doubled claim" => Sign("""{"alg":"RS256","kid":"rsa"}""", claims.Replace("{", """{"sub":"system:serviceaccount:shop:payments",""", StringComparison.Ordinal), Rsa),
            "doubled alg" => Head("""{"alg":"RS256","alg":"none","kid":"rsa"}"""),
            "deep" => Sign("""{"alg":"RS256","kid":"rsa"}""", claims.Replace("{", """{"x":""" + new string('[', 100) + new string(']', 100) + ",", StringComparison.Ordinal), Rsa),
            "long" => good + new string('a', 20_000),
            _ => throw new ArgumentException(how),
        };
    }

    private void WriteKeys()
    {
        var q = ec.ExportParameters(false).Q;
        File.WriteAllText(folder["jwks"], JsonSerializer.Serialize(new
        {
            keys = new object[]
            {
                Jwk(rsa, "rsa"),
                new { kty = "EC", crv = "P-256", alg = "ES256", use = "sig", kid = "ec", x = Base64Url.Encode(q.X), y = Base64Url.Encode(q.Y) },
            },
        }));
    }

    private static object Jwk(RSA key, string kid)
    {
        var parameters = key.ExportParameters(false);
        return new { kty = "RSA", alg = "RS256", use = "sig", kid, n = Base64Url.Encode(parameters.Modulus), e = Base64Url.Encode(parameters.Exponent) };
    }

    private string Token(string algorithm, string claims) => algorithm == "RS256"
        ? Sign("""{"alg":"RS256","kid":"rsa"}""", claims, data => rsa.SignData(data, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1))
        : Sign("""{"alg":"ES256","kid":"ec"}""", claims, data => ec.SignData(data, HashAlgorithmName.SHA256));

    private string Claims(params (string Name, object? Value)[] changes)
    {
        var now = time.GetUtcNow().ToUnixTimeSeconds();
        var claims = new Dictionary<string, object?>(StringComparer.Ordinal)
        {
            ["iss"] = Issuer,
            ["sub"] = "system:serviceaccount:shop:cart",
            ["aud"] = new[] { "mesh-ca" },
            ["exp"] = now + 3600,
            ["nbf"] = now,
            ["iat"] = now,
        };
        foreach (var (name, value) in changes)
        {
            if (value is null) claims.Remove(name);
            else claims[name] = value;
        }

        return JsonSerializer.Serialize(claims);
    }

    private static string Sign(string header, string claims, Func<byte[], byte[]> sign)
    {
        var signed = $"{Encode(header)}.{Encode(claims)}";
        return $"{signed}.{Base64Url.Encode(sign(Encoding.ASCII.GetBytes(signed)))}";
    }

    private static string Encode(string text) => Base64Url.Encode(Encoding.UTF8.GetBytes(text));
}
