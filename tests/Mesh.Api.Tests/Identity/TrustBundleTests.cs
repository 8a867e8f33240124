using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;
using Mesh.Tests;

namespace Mesh.Api.Tests.Identity;

/// <summary>Bundles from PEM, and the roots a control plane's leaf carries.</summary>
public class TrustBundleTests
{
    private readonly CertificateForge forge = new(new ManualTimeProvider());

    [Fact]
    public void A_bundle_is_the_same_however_it_is_written()
    {
        var (one, two) = (forge.Root("one"), forge.Root("two"));
        var bundle = TrustBundle.FromPem("cluster.local", one.Pem + two.Pem);
        var turned = TrustBundle.FromPem("cluster.local", "# roots\n" + two.Pem + "\r\n" + one.Pem + one.Pem);
        Assert.Equal(bundle.Fingerprint, turned.Fingerprint);
        Assert.Equal(2, turned.Roots.Length);
        Assert.Equal(bundle.Fingerprint, TrustBundle.FromPem("cluster.local", bundle.ToPem()).Fingerprint);
        Assert.NotEqual(bundle.Fingerprint, TrustBundle.FromPem("cluster.local", one.Pem).Fingerprint);
        Assert.NotEqual(bundle.Fingerprint, TrustBundle.FromPem("other.local", one.Pem + two.Pem).Fingerprint);
    }

    [Fact]
    public void A_bundle_knows_its_roots_by_hash()
    {
        var (one, two) = (forge.Root("one"), forge.Root("two"));
        var bundle = new TrustBundle("cluster.local", [one.Certificate]);
        Assert.True(bundle.Contains(TrustBundle.Sha256(one.Certificate)));
        Assert.True(bundle.Contains(TrustBundle.Sha256(one.Certificate).ToUpperInvariant()));
        Assert.False(bundle.Contains(TrustBundle.Sha256(two.Certificate)));
        Assert.False(bundle.Contains(two.Certificate));
    }

    public static TheoryData<string, string> BadPems
    {
        get
        {
            var maker = new CertificateForge(new ManualTimeProvider());
            var root = maker.Root();
            return new()
            {
                { "", "no certificate in it" },
                { "hello", "no certificate in it" },
                { root.KeyPem, "must hold no key" },
                { root.Pem + root.KeyPem, "must hold no key" },
                { root.Pem.Replace("CERTIFICATE", "TRUSTED CERTIFICATE", StringComparison.Ordinal), "is a TRUSTED CERTIFICATE" },
                { root.Pem + root.Pem[..200], "block 2 is broken" },
                { root.Pem[..200], "block 1 is broken" },
                { "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1 cannot be read" },
                { root.Pem + "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "certificate 2 cannot be read" },
                { maker.Leaf(root).Pem, "is no root: another one issued it" },
                { root.Pem + maker.Authority(root).Pem, "certificate 2 ('O=mesh, CN=issuing') is no root" },
                { maker.Root(spoil: r => r.Authority = false).Pem, "it is no certificate authority" },
                { maker.Root(spoil: r => r.Authority = null).Pem, "it is no certificate authority" },
                { new string(' ', (1 << 20) + 1), "1048576 are allowed" },
                { string.Concat(Enumerable.Range(0, 65).Select(i => maker.Root("r" + i).Pem)), "64 are allowed" },
            };
        }
    }

    [Theory]
    [MemberData(nameof(BadPems))]
    public void A_bad_bundle_is_refused_with_its_reason(string pem, string reason) =>
        Assert.Contains(reason, Assert.Throws<FormatException>(() => TrustBundle.FromPem("cluster.local", pem)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_bad_trust_domain_is_refused() =>
        Assert.Contains("upper-case", Assert.Throws<FormatException>(() => new TrustBundle("Cluster.local", [forge.Root().Certificate])).Message, StringComparison.Ordinal);

    [Fact]
    public void A_leaf_carries_roots()
    {
        var (one, two) = (forge.Root("one"), forge.Root("two"));
        var leaf = forge.ControlPlane(forge.Authority(one), one, two);
        Assert.True(RootsExtension.Read(leaf.Certificate, out var roots, out var problem), problem);
        Assert.Equal([one.Certificate, two.Certificate], roots.AsEnumerable());
        Assert.Equal(RootsExtension.Create([one.Certificate, two.Certificate]).RawData, CertificateForge.RootsExtension(one.Certificate.RawData, two.Certificate.RawData).RawData);
    }

    public static TheoryData<string, string> BadRoots => new()
    {
        { "none", "0 times" },
        { "twice", "2 times" },
        { "empty list", "empty list" },
        { "no DER", "cannot be read" },
        { "nothing", "cannot be read" },
        { "bytes after", "cannot be read" },
        { "no certificates", "cannot be read" },
        { "seventeen", "more than 16" },
        { "too large", "8192 are allowed" },
    };

    [Theory]
    [MemberData(nameof(BadRoots))]
    public void Bad_roots_in_a_leaf_are_refused_with_their_reason(string name, string reason)
    {
        var root = forge.Root();
        var der = root.Certificate.RawData;
        X509Extension[] extensions = name switch
        {
            "none" => [],
            "twice" => [CertificateForge.RootsExtension(der), CertificateForge.RootsExtension(der)],
            "empty list" => [CertificateForge.RootsExtension()],
            "no DER" => [new(RootsExtension.Oid, [0x30, 0x80, 0, 0], false)],
            "nothing" => [new(RootsExtension.Oid, [], false)],
            "bytes after" => [new(RootsExtension.Oid, [.. CertificateForge.Sequence(der), 0], false)],
            "no certificates" => [CertificateForge.RootsExtension([0x30, 1, 5])],
            "seventeen" => [CertificateForge.RootsExtension([.. Enumerable.Repeat(der, 17)])],
            _ => [CertificateForge.RootsExtension(forge.Root(spoil: r => r.More.Add(new("1.2.3", new byte[9000], false))).Certificate.RawData)],
        };
        var leaf = forge.Leaf(root, spoil: r => r.More.AddRange(extensions));
        Assert.False(RootsExtension.Read(leaf.Certificate, out var roots, out var problem));
        Assert.Empty(roots);
        Assert.Contains(reason, problem, StringComparison.Ordinal);
    }
}
