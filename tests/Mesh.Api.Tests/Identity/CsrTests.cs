using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;
using Mesh.Tests;

namespace Mesh.Api.Tests.Identity;

/// <summary>Signing requests: only a strong key that signed its own request is taken, and nothing but the key.</summary>
public class CsrTests
{
    private static readonly Lazy<RSA> Rsa = new(() => RSA.Create(2048));

    public static TheoryData<string> BadNames => [.. Bad.Keys];

    private static Dictionary<string, (string Reason, Func<string> Make)> Bad { get; } = new(StringComparer.Ordinal)
    {
        ["empty"] = ("is empty", () => ""),
        ["blank"] = ("is empty", () => " \n"),
        ["no PEM"] = ("is no PEM", () => "hello"),
        ["half a PEM"] = ("is no PEM", () => Good()[..100]),
        ["no END line"] = ("is no PEM", () => Good().Replace("-----END CERTIFICATE REQUEST-----", "", StringComparison.Ordinal)),
        ["a certificate"] = ("is a CERTIFICATE,", () => new CertificateForge(TimeProvider.System).Root().Pem),
        ["a private key"] = ("is a PRIVATE KEY,", () => CertificateForge.NewKey().ExportPkcs8PrivateKeyPem()),
        ["the old label"] = ("is a NEW CERTIFICATE REQUEST,", () => Good().Replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST", StringComparison.Ordinal)),
        ["one MiB"] = ("16384 are allowed", () => Good() + new string(' ', 1 << 20)),
        ["two requests"] = ("more than one request", () => Good() + Good()),
        ["a key after the request"] = ("more than one request", () => Good() + CertificateForge.NewKey().ExportPkcs8PrivateKeyPem()),
        ["text before the request"] = ("text beside it", () => "subject=/CN=me\n" + Good()),
        ["no DER"] = ("is malformed", () => Pem([1, 2, 3, 4])),
        ["no bytes"] = ("is malformed", () => Pem([])),
        ["cut off"] = ("is malformed", () => Pem(GoodDer()[..^10])),
        ["bytes after its end"] = ("bytes after its end", () => Pem([.. GoodDer(), 0])),
        ["a signature with one bit turned"] = ("not signed by its own key", () => Pem(CertificateForge.BreakSignature(GoodDer()))),
        ["another's key"] = ("not signed by its own key", () => Pem(WithOthersKey())),
        ["another's alternative name after signing"] = ("not signed by its own key", () => Pem(Altered())),
        ["RSA 512"] = ("512 bits", () => OfRsa(RSA.Create(512))),
        ["RSA 1024"] = ("1024 bits", () => OfRsa(RSA.Create(1024))),
        ["a brainpool curve"] = ("curve", () => Of(ECDsa.Create(ECCurve.NamedCurves.brainpoolP256r1))),
        ["a Bitcoin curve"] = ("curve", () => Of(ECDsa.Create(ECCurve.CreateFromValue("1.3.132.0.10")))),
        ["signed over SHA-1"] = ("signed by the algorithm", () => Pem(OverSha1())),
        ["a certificate in a request's clothes"] = ("is malformed", () => Pem(new CertificateForge(TimeProvider.System).Root().Certificate.RawData)),
    };

    [Theory]
    [MemberData(nameof(BadNames))]
    public void A_bad_request_is_refused_with_its_reason(string name)
    {
        var (reason, make) = Bad[name];
        Assert.False(Csr.TryReadKey(make(), out var key, out var problem));
        Assert.Null(key);
        Assert.Contains(reason, problem, StringComparison.Ordinal);
    }

    [Fact]
    public void A_good_request_gives_its_key_and_no_more()
    {
        using var key = CertificateForge.NewKey();
        Assert.True(Csr.TryReadKey(Csr.Create(key, SpiffeId.Parse(CertificateForge.Workload)), out var read, out var problem), problem);
        Assert.Equal(key.ExportSubjectPublicKeyInfo(), read.ExportSubjectPublicKeyInfo());
    }

    [Fact]
    public void What_else_a_request_asks_for_does_not_matter()
    {
        using var key = CertificateForge.NewKey();
        var request = new CertificateRequest("CN=root", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509Extension("2.5.29.17", [1, 2, 3], true));
        Assert.True(Csr.TryReadKey(request.CreateSigningRequestPem(), out var read, out var problem), problem);
        Assert.Equal(key.ExportSubjectPublicKeyInfo(), read.ExportSubjectPublicKeyInfo());
    }

    [Fact]
    public void RSA_2048_and_P_384_are_taken()
    {
        Assert.True(Csr.TryReadKey(OfRsa(Rsa.Value), out _, out var problem), problem);
        Assert.True(Csr.TryReadKey(Of(ECDsa.Create(ECCurve.NamedCurves.nistP384)), out _, out problem), problem);
    }

    private static string Good() => Csr.Create(CertificateForge.NewKey(), SpiffeId.Parse(CertificateForge.Workload));

    private static byte[] GoodDer() => Request(CertificateForge.NewKey()).CreateSigningRequest();

    private static CertificateRequest Request(ECDsa key) => new("CN=cart", key, HashAlgorithmName.SHA256);

    private static string Of(ECDsa key) => Request(key).CreateSigningRequestPem();

    private static string OfRsa(RSA key) => new CertificateRequest("CN=cart", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1).CreateSigningRequestPem();

    private static string Pem(byte[] der) => PemEncoding.WriteString("CERTIFICATE REQUEST", der);

    private static byte[] WithOthersKey()
    {
        var der = GoodDer();
        var theirs = CertificateForge.NewKey().ExportSubjectPublicKeyInfo();
        theirs.CopyTo(der.AsSpan(der.AsSpan().IndexOf(theirs.AsSpan(0, 24))));
        return der;
    }

    private static byte[] Altered()
    {
        var der = GoodDer();
        "bank"u8.CopyTo(der.AsSpan(der.AsSpan().IndexOf("cart"u8)));
        return der;
    }

    private static byte[] OverSha1()
    {
        var der = GoodDer();
        // ecdsa-with-SHA256 is 1.2.840.10045.4.3.2; .3.1 is over SHA-224, and no longer strong.
        ReadOnlySpan<byte> sha256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
        der[der.AsSpan().LastIndexOf(sha256) + 7] = 1;
        return der;
    }
}
