using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;
using Mesh.Tests;

namespace Mesh.Api.Tests.Identity;

/// <summary>Which certificates are believed and which are not: every refusal with its own reason.</summary>
public class SvidVerifierTests
{
    private readonly ManualTimeProvider time = new();
    private readonly CertificateForge forge;
    private readonly SvidVerifier verifier;

    public SvidVerifierTests() => (forge, verifier) = (new(time), new(time));

    public static TheoryData<string> BadNames => [.. BadSvids.All.Keys];

    public static TheoryData<string> BadIds => [.. SpiffeIdTests.Bad.Select(row => (string)row[0]).Where(t => t.All(c => c is > ' ' and < '\u007f'))];

    [Theory]
    [MemberData(nameof(BadNames))]
    public void A_bad_certificate_is_refused_with_its_reason(string name)
    {
        var (problem, make) = BadSvids.All[name];
        var shown = make(forge);
        var verdict = verifier.Verify(shown.Leaf, shown.Sent, shown.Bundle);
        Assert.True(problem == verdict.Problem, $"{verdict.Problem}: {verdict.Text}");
        Assert.Null(verdict.Id);
        Assert.False(verdict.Ok);
        Assert.NotEmpty(verdict.Text);
        // A refusal is not remembered as anything else.
        Assert.Equal(problem, verifier.Verify(shown.Leaf, shown.Sent, shown.Bundle).Problem);
    }

    [Theory]
    [MemberData(nameof(BadIds))]
    public void A_certificate_with_a_bad_ID_is_refused(string uri)
    {
        var root = forge.Root();
        var verdict = Verify(forge.Leaf(root, uri), root);
        Assert.Equal(SvidProblem.InvalidSpiffeId, verdict.Problem);
    }

    [Fact]
    public void A_good_chain_proves_its_ID()
    {
        var root = forge.Root();
        var verdict = Verify(forge.Leaf(forge.Authority(root)), root);
        Assert.True(verdict.Ok, verdict.Text);
        Assert.Equal(SpiffeId.Parse(CertificateForge.Workload), verdict.Id);
    }

    public static TheoryData<string, Action<CertificateRecipe>> GoodLeaves => new()
    {
        { "RSA 2048", r => r.Key = RSA.Create(2048) },
        { "RSA 4096", r => r.Key = RSA.Create(4096) },
        { "P-384", r => r.Key = ECDsa.Create(ECCurve.NamedCurves.nistP384) },
        { "P-521", r => r.Key = ECDsa.Create(ECCurve.NamedCurves.nistP521) },
        { "DNS names and an address beside the URI", r => r.Names = [CertificateForge.DnsName("cart.shop"), CertificateForge.UriName(CertificateForge.Workload), CertificateForge.NameOf(7, [127, 0, 0, 1])] },
        { "no subject, names critical", r => (r.Subject, r.NamesCritical) = ("", true) },
        { "names critical beside a subject", r => r.NamesCritical = true },
        { "no purposes", r => r.Purposes = null },
        { "more purposes", r => r.Purposes!.Add("1.3.6.1.5.5.7.3.4") },
        { "no basic constraints", r => r.Authority = null },
        { "may encipher, too", r => r.Usage |= X509KeyUsageFlags.KeyEncipherment },
        { "signed over SHA-384", r => r.Hash = HashAlgorithmName.SHA384 },
        { "begins in 59 s: clocks differ", r => r.NotBefore = r.NotBefore.AddSeconds(119) },
        { "ends beyond 2050", r => r.NotAfter = r.NotAfter.AddYears(30) },
        { "an unknown extension that is not critical", r => r.More.Add(new("1.2.3.4.5", [5, 0], false)) },
        { "the longest ID", r => r.WithUris("spiffe://cluster.local/" + new string('a', 2048 - "spiffe://cluster.local/".Length)) },
    };

    [Theory]
    [MemberData(nameof(GoodLeaves))]
    public void A_good_leaf_is_believed(string name, Action<CertificateRecipe> change)
    {
        var root = forge.Root();
        var verdict = Verify(forge.Leaf(forge.Authority(root), spoil: change), root);
        Assert.True(verdict.Ok, name + ": " + verdict.Text);
    }

    [Fact]
    public void RSA_issuers_are_believed_PKCS_1_and_PSS()
    {
        var root = forge.Root(spoil: r => r.Key = RSA.Create(2048));
        var issuer = forge.Authority(root, spoil: r => (r.Key, r.Padding) = (RSA.Create(2048), RSASignaturePadding.Pss));
        var verdict = Verify(forge.Leaf(issuer), root);
        Assert.True(verdict.Ok, verdict.Text);
    }

    [Fact]
    public void Intermediates_may_come_in_any_order_with_the_root_the_leaf_and_strangers()
    {
        var root = forge.Root();
        var leaf = forge.Leaf(forge.Authority(forge.Authority(root, "high"), "low"));
        var bundle = new TrustBundle("cluster.local", [root.Certificate]);
        var stranger = forge.Authority(forge.Root("strange"), "stranger").Certificate;
        X509Certificate2[] sent = [stranger, .. leaf.Intermediates().Reverse(), root.Certificate, leaf.Certificate];
        var verdict = new SvidVerifier(time).Verify(leaf.Certificate, sent, bundle);
        Assert.True(verdict.Ok, verdict.Text);
    }

    [Fact]
    public void A_leaf_directly_below_the_root_is_believed()
    {
        var root = forge.Root();
        Assert.True(Verify(forge.Leaf(root), root).Ok);
    }

    [Fact]
    public void While_roots_change_both_are_believed()
    {
        var (old, fresh) = (forge.Root("old"), forge.Root("fresh"));
        Assert.True(Verify(forge.Leaf(forge.Authority(old)), old, fresh).Ok);
        Assert.True(Verify(forge.Leaf(forge.Authority(fresh)), old, fresh).Ok);
        Assert.Equal(SvidProblem.UnknownIssuer, Verify(forge.Leaf(forge.Authority(old)), fresh).Problem);
    }

    [Fact]
    public void A_fresh_intermediate_is_found_beside_its_expired_twin()
    {
        var root = forge.Root();
        var expired = forge.Authority(root, spoil: r => r.NotAfter = r.NotBefore.AddHours(1));
        var fresh = forge.Authority(root, spoil: r => r.Key = expired.Key);
        var leaf = forge.Leaf(fresh).Certificate;
        foreach (X509Certificate2[] sent in new X509Certificate2[][] { [expired.Certificate, fresh.Certificate], [fresh.Certificate, expired.Certificate] })
        {
            var verdict = new SvidVerifier(time).Verify(leaf, sent, new TrustBundle("cluster.local", [root.Certificate]));
            Assert.True(verdict.Ok, verdict.Text);
        }
    }

    [Fact]
    public void Ten_certificates_are_looked_at()
    {
        var root = forge.Root();
        var issuer = root;
        for (var i = 0; i < 8; i++) issuer = forge.Authority(issuer, "a" + i);
        var verdict = Verify(forge.Leaf(issuer), root);
        Assert.True(verdict.Ok, verdict.Text);
    }

    [Fact]
    public void No_certificate_proves_nobody()
    {
        var bundle = new TrustBundle("cluster.local", [forge.Root().Certificate]);
        Assert.Equal(SvidProblem.NoCertificate, verifier.Verify(null, (X509Chain?)null, bundle).Problem);
    }

    [Fact]
    public void A_remembered_leaf_ends_with_its_chain()
    {
        var root = forge.Root();
        var issuer = forge.Authority(root, spoil: r => r.NotAfter = r.NotBefore.AddDays(1).AddHours(2));
        var leaf = forge.Leaf(issuer);
        Assert.True(Verify(leaf, root).Ok);
        time.Advance(TimeSpan.FromHours(2));
        Assert.True(Verify(leaf, root).Ok);
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(SvidProblem.IssuerExpired, Verify(leaf, root).Problem);
    }

    [Fact]
    public void A_remembered_leaf_is_remembered_for_its_bundle_only()
    {
        var (old, fresh) = (forge.Root("old"), forge.Root("fresh"));
        var leaf = forge.Leaf(forge.Authority(old));
        Assert.True(Verify(leaf, old, fresh).Ok);
        Assert.Equal(SvidProblem.UnknownIssuer, Verify(leaf, fresh).Problem);
        Assert.True(Verify(leaf, old).Ok);
    }

    [Fact]
    public void A_remembered_leaf_needs_no_intermediates_and_a_changed_one_does()
    {
        var root = forge.Root();
        var leaf = forge.Leaf(forge.Authority(root));
        Assert.True(Verify(leaf, root).Ok);
        var bundle = new TrustBundle("cluster.local", [root.Certificate]);
        Assert.True(verifier.Verify(leaf.Certificate, [], bundle).Ok);
        var changed = X509CertificateLoader.LoadCertificate(CertificateForge.BreakSignature(leaf.Certificate.RawData));
        Assert.Equal(SvidProblem.BadSignature, verifier.Verify(changed, leaf.Intermediates(), bundle).Problem);
    }

    [Fact]
    public void Expected_IDs_are_compared_exactly()
    {
        var root = forge.Root();
        var verdict = Verify(forge.Leaf(forge.Authority(root), "spiffe://cluster.local/ns/shop/sa/web"), root);
        Assert.True(verdict.Expecting("spiffe://cluster.local/ns/shop/sa/cart", "spiffe://cluster.local/ns/shop/sa/web").Ok);
        foreach (var other in new[] { "spiffe://cluster.local/ns/shop/sa/web2", "spiffe://cluster.local/ns/shop/sa/we", "spiffe://cluster.local/ns/shop/sa/WEB", "spiffe://cluster.local/ns/shop/sa/web/", "*", "" })
            Assert.Equal(SvidProblem.UnexpectedId, verdict.Expecting(other).Problem);
        Assert.Contains("nobody", verdict.Expecting().Text, StringComparison.Ordinal);
        // What was refused before stays refused for that.
        Assert.Equal(SvidProblem.UnknownIssuer, Verify(forge.Leaf(root), forge.Root("other")).Expecting(CertificateForge.Workload).Problem);
    }

    private SvidVerdict Verify(Forged leaf, params Forged[] roots)
    {
        var shown = new Shown(leaf, roots);
        return verifier.Verify(shown.Leaf, shown.Sent, shown.Bundle);
    }
}
