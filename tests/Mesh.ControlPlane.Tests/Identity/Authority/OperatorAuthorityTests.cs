using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Identity.Authority;

/// <summary>The operator's own authority: both sets of names, files that change, files that are bad.</summary>
public sealed class OperatorAuthorityTests : IDisposable
{
    private static readonly SpiffeId Cart = SpiffeId.Parse("spiffe://cluster.local/ns/shop/sa/cart");
    private readonly TemporaryFolder folder = new();
    private readonly ManualTimeProvider time = new();
    private readonly LogLines lines = new();

    public void Dispose()
    {
        folder.Dispose();
        lines.Dispose();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Both_sets_of_names_are_understood(bool istio)
    {
        var root = NewRoot();
        Write(root, NewIssuer(root), istio);
        AssertIssues(Open().Authority, root);
    }

    [Fact]
    public void A_root_that_issues_itself_is_taken()
    {
        var root = NewRoot();
        Write(root, root);
        AssertIssues(Open().Authority, root);
    }

    [Fact]
    public void A_chain_of_intermediates_is_sent_along()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var root = NewRoot(pathLength: 2);
        var middle = NewAuthority("middle", root, key);
        using var bottomKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var bottom = NewAuthority("bottom", middle, bottomKey);
        Directory.CreateDirectory(folder.Path);
        Put("ca-cert.pem", CertificatePem.Write([bottom.Certificate]));
        Put("ca-key.pem", bottom.KeyPem());
        Put("cert-chain.pem", CertificatePem.Write([bottom.Certificate, middle.Certificate, root.Certificate]));
        Put("root-cert.pem", CertificatePem.Write([root.Certificate]));
        var authority = Open().Authority;
        Assert.Equal(2, authority.Current.Issuer.Chain.Length);
        AssertIssues(authority, root);
    }

    [Fact]
    public void Changed_files_are_taken_up_and_a_new_root_is_believed_before_it_issues()
    {
        var old = NewRoot();
        Write(old, NewIssuer(old));
        var (authority, operators) = Open();
        var before = authority.Current;

        // A new issuer under the same root: at once.
        var renewed = NewIssuer(old);
        Write(old, renewed);
        Look(operators, 2);
        Assert.Equal(renewed.Id, authority.Current.Issuer.Id);

        // A new root: believed at once, issues when it had time to spread, and the old one stays as long as certificates under it.
        var root = NewRoot();
        var issuer = NewIssuer(root);
        Write(root, issuer);
        Look(operators, 2);
        Assert.Equal(2, authority.Current.Bundle.Roots.Length);
        Assert.Equal(renewed.Id, authority.Current.Issuer.Id);
        time.Advance(OperatorAuthority.Spread);
        Look(operators, 1);
        Assert.Equal(issuer.Id, authority.Current.Issuer.Id);
        Assert.True(authority.Current.Bundle.Contains(old.Certificate));
        time.Advance(authority.Lifetimes.Leaf);
        Look(operators, 1);
        Assert.Equal([TrustBundle.Sha256(root.Certificate)], authority.Current.Bundle.Roots.Select(TrustBundle.Sha256));
        Assert.NotEqual(before.Bundle.Fingerprint, authority.Current.Bundle.Fingerprint);
    }

    [Fact]
    public void Bad_files_keep_the_last_good_ones_and_are_told_once()
    {
        var root = NewRoot();
        var issuer = NewIssuer(root);
        Write(root, issuer);
        var (authority, operators) = Open();
        Put("tls.key", NewRoot().KeyPem());
        Look(operators, 5);
        Assert.Equal(issuer.Id, authority.Current.Issuer.Id);
        Assert.Contains("private key", operators.Problem);
        Assert.Equal(1, lines.Count("refused"));
        File.Delete(folder["tls.key"]);
        Look(operators, 3);
        Assert.Contains("tls.key is missing", operators.Problem);
        Write(root, issuer);
        Look(operators, 2);
        Assert.Null(operators.Problem);
        AssertIssues(authority, root);
    }

    [Fact]
    public void A_set_that_is_being_written_is_waited_for()
    {
        var root = NewRoot();
        Write(root, NewIssuer(root));
        var (authority, operators) = Open();
        var next = NewIssuer(root);
        Put("tls.crt", CertificatePem.Write([next.Certificate]));
        Look(operators, 1);
        Put("tls.key", next.KeyPem());
        Look(operators, 2);
        Assert.Equal(next.Id, authority.Current.Issuer.Id);
        Assert.False(lines.Has("refused"));
    }

    [Fact]
    public void A_mounted_secret_is_read_through_its_links()
    {
        var root = NewRoot();
        Directory.CreateDirectory(folder["..one"]);
        WriteTo("..one", root, NewIssuer(root));
        Directory.CreateSymbolicLink(folder["..data"], "..one");
        foreach (var name in (string[])["tls.crt", "tls.key", "ca.crt"]) File.CreateSymbolicLink(folder[name], $"..data/{name}");
        var (authority, operators) = Open();
        var next = NewIssuer(root);
        Directory.CreateDirectory(folder["..two"]);
        WriteTo("..two", root, next);
        Directory.Delete(folder["..data"]);
        Directory.CreateSymbolicLink(folder["..data"], "..two");
        Look(operators, 2);
        Assert.Equal(next.Id, authority.Current.Issuer.Id);
    }

    public static TheoryData<string, string> BadFolders() => new()
    {
        { "empty", "neither tls.crt" },
        { "both", "both tls.crt and ca-cert.pem" },
        { "no key", "tls.key is missing" },
        { "no root", "ca.crt is missing" },
        { "other key", "private key" },
        { "loose key", "chmod 600" },
        { "garbage", "no certificate" },
        { "half a certificate", "issuing certificate" },
        { "leaf", "the issuing certificate is of" },
        { "other root", "none of the roots" },
        { "expired", "would be refused" },
        { "future", "would be refused" },
        { "other trust domain", "--trust-domain says" },
        { "root is no root", "no root" },
        { "weak", "would be refused" },
        { "large", "allowed" },
    };

    [Theory]
    [MemberData(nameof(BadFolders))]
    public void What_is_wrong_is_told_at_the_start(string how, string words)
    {
        var root = NewRoot();
        var issuer = NewIssuer(root);
        Write(root, issuer);
        switch (how)
        {
            case "empty": Directory.Delete(folder.Path, recursive: true); Directory.CreateDirectory(folder.Path); break;
            case "both": Put("ca-cert.pem", "x"); break;
            case "no key": File.Delete(folder["tls.key"]); break;
            case "no root": File.Delete(folder["ca.crt"]); break;
            case "other key": Put("tls.key", NewRoot().KeyPem()); break;
            case "loose key": File.SetUnixFileMode(folder["tls.key"], UnixFileMode.UserRead | UnixFileMode.OtherRead); break;
            case "garbage": Put("tls.crt", "hello"); break;
            case "half a certificate": Put("tls.crt", CertificatePem.Write([issuer.Certificate])[..200]); break;
            case "leaf": WriteLeaf(root); break;
            case "other root": Put("ca.crt", CertificatePem.Write([NewRoot().Certificate])); break;
            case "expired": WriteAged(-400); break;
            case "future": WriteAged(10); break;
            case "other trust domain": var other = CertificateForms.NewRoot("other.domain", time.GetUtcNow(), TimeSpan.FromDays(100)); Write(other, CertificateForms.NewIssuer(other, "other.domain", time.GetUtcNow(), TimeSpan.FromDays(10))); break;
            case "root is no root": Put("ca.crt", CertificatePem.Write([issuer.Certificate])); break;
            case "weak": WriteWeak(); break;
            case "large": Put("tls.crt", new string(' ', 2 << 20)); break;
        }

        var e = Assert.Throws<StartException>(() => Open());
        Assert.Contains("--ca-dir", e.Message);
        Assert.Contains(words, e.Message);
        Assert.DoesNotContain("PRIVATE KEY-----", e.Message);
    }

    private (CertificateAuthority Authority, OperatorAuthority Operators) Open()
    {
        var authority = new CertificateAuthority("cluster.local", new Lifetimes(), time);
        return (authority, new OperatorAuthority(authority, folder.Path, time, Log.To(lines, Level.Debug, time)));
    }

    private static void Look(OperatorAuthority operators, int times)
    {
        for (var i = 0; i < times; i++) operators.Look();
    }

    private void AssertIssues(CertificateAuthority authority, Signer root)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var issued = authority.Issue(Cart, new PublicKey(key), Holder.New());
        var verdict = new SvidVerifier(time).Verify(issued.Leaf, issued.Chain, new TrustBundle("cluster.local", [root.Certificate]));
        Assert.True(verdict.Ok, verdict.Text);
    }

    private void Write(Signer root, Signer issuer, bool istio = false)
    {
        if (!istio)
        {
            WriteTo(".", root, issuer);
            return;
        }

        Put("ca-cert.pem", CertificatePem.Write([issuer.Certificate]));
        Put("ca-key.pem", issuer.KeyPem());
        Put("cert-chain.pem", CertificatePem.Write([issuer.Certificate]));
        Put("root-cert.pem", CertificatePem.Write([root.Certificate]));
    }

    private void WriteTo(string inside, Signer root, Signer issuer)
    {
        Put(Path.Combine(inside, "tls.crt"), CertificatePem.Write([issuer.Certificate]));
        Put(Path.Combine(inside, "tls.key"), issuer.KeyPem());
        Put(Path.Combine(inside, "ca.crt"), CertificatePem.Write([root.Certificate]));
    }

    private void WriteLeaf(Signer root)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var leaf = root.Sign(CertificateForms.Leaf(Cart, new PublicKey(key), root), time.GetUtcNow(), time.GetUtcNow().AddDays(1), CertificateForms.NewSerial());
        Put("tls.crt", CertificatePem.Write([leaf]));
        Put("tls.key", key.ExportPkcs8PrivateKeyPem());
    }

    private void WriteAged(int days)
    {
        var then = time.GetUtcNow().AddDays(days);
        var root = CertificateForms.NewRoot("cluster.local", then, TimeSpan.FromDays(1000));
        Write(root, CertificateForms.NewIssuer(root, "cluster.local", then, TimeSpan.FromDays(30)));
    }

    private void WriteWeak()
    {
        using var rsa = RSA.Create(1024);
        var request = new CertificateRequest("CN=weak", rsa, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        using var weak = request.CreateSelfSigned(time.GetUtcNow().AddDays(-1), time.GetUtcNow().AddDays(10));
        Put("tls.crt", weak.ExportCertificatePem());
        Put("tls.key", rsa.ExportPkcs8PrivateKeyPem());
        Put("ca.crt", weak.ExportCertificatePem());
    }

    private void Put(string name, string content)
    {
        File.WriteAllText(folder[name], content);
        File.SetUnixFileMode(folder[name], UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    private Signer NewRoot(int pathLength = 1)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        return pathLength == 1 ? CertificateForms.NewRoot("cluster.local", time.GetUtcNow(), TimeSpan.FromDays(1000)) : NewAuthority("root", null, key);
    }

    private Signer NewIssuer(Signer root) => CertificateForms.NewIssuer(root, "cluster.local", time.GetUtcNow(), TimeSpan.FromDays(100));

    // As an operator's own tools make them: no SPIFFE ID, no bound of the path.
    private Signer NewAuthority(string name, Signer? above, ECDsa key)
    {
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        var (from, until) = (time.GetUtcNow().AddDays(-1), time.GetUtcNow().AddDays(100));
        if (above is null) return Signer.OfRoot(request.CreateSelfSigned(from, until));
        using var signed = above.Sign(request, from, until, CertificateForms.NewSerial());
        return Signer.Of(signed.CopyWithPrivateKey(key), [], above.Root);
    }
}
