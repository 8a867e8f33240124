using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;
using Mesh.Tests;
using static Mesh.Tests.CertificateForge;
using Case = (string Name, Mesh.Api.Identity.SvidProblem Problem, System.Func<Mesh.Tests.CertificateForge, Mesh.Api.Tests.Identity.Shown> Make);

namespace Mesh.Api.Tests.Identity;

/// <summary>What a peer showed, and by which roots it is to be judged.</summary>
internal sealed record Shown(X509Certificate2 Leaf, IEnumerable<X509Certificate2> Sent, TrustBundle Bundle)
{
    public Shown(Forged leaf, params Forged[] roots)
        : this(leaf.Certificate, leaf.Intermediates(), new TrustBundle("cluster.local", roots.Select(r => r.Certificate)))
    {
    }
}

/// <summary>Bad certificates and chains by name, each with the one reason it must be refused for.</summary>
internal static class BadSvids
{
    private const X509KeyUsageFlags Sign = X509KeyUsageFlags.DigitalSignature;

    public static IReadOnlyDictionary<string, (SvidProblem Problem, Func<CertificateForge, Shown> Make)> All { get; } =
        Names().Concat(Uses()).Concat(Keys()).Concat(Times()).Concat(Chains()).Concat(Extensions())
            .ToDictionary(c => c.Name, c => (c.Problem, c.Make), StringComparer.Ordinal);

    private static IEnumerable<Case> Names()
    {
        yield return Leaf("no alternative names, the ID as common name", SvidProblem.NoUriSan, r => (r.Names, r.Subject) = (null, "CN=" + Workload.Replace("/", "\\/")));
        yield return Leaf("the ID as DNS name", SvidProblem.NoUriSan, r => r.Names = [DnsName(Workload)]);
        yield return Leaf("the ID as mail address", SvidProblem.NoUriSan, r => r.Names = [NameOf(1, "spiffe://cluster.local/ns/shop/sa/cart"u8.ToArray())]);
        yield return Leaf("DNS names only", SvidProblem.NoUriSan, r => r.Names = [DnsName("cart.shop.svc.cluster.local")]);
        yield return Leaf("an address only", SvidProblem.NoUriSan, r => r.Names = [NameOf(7, [127, 0, 0, 1])]);
        yield return Leaf("two IDs", SvidProblem.ManyUriSans, r => r.WithUris(Workload, "spiffe://cluster.local/ns/shop/sa/admin"));
        yield return Leaf("the same ID twice", SvidProblem.ManyUriSans, r => r.WithUris(Workload, Workload));
        yield return Leaf("an ID and another URI", SvidProblem.ManyUriSans, r => r.WithUris(Workload, "https://example.com/"));
        yield return Leaf("another URI before the ID", SvidProblem.ManyUriSans, r => r.WithUris("https://example.com/", Workload));
        yield return Leaf("a URI that is no ID", SvidProblem.InvalidSpiffeId, r => r.WithUris("https://cluster.local/ns/shop/sa/cart"));
        yield return Leaf("an empty URI", SvidProblem.InvalidSpiffeId, r => r.WithUris(""));
        yield return Leaf("a trust domain as leaf", SvidProblem.IdWithoutPath, r => r.WithUris("spiffe://cluster.local"));
        yield return Leaf("another trust domain", SvidProblem.WrongTrustDomain, r => r.WithUris("spiffe://other.local/ns/shop/sa/cart"));
        yield return Leaf("a longer trust domain", SvidProblem.WrongTrustDomain, r => r.WithUris("spiffe://cluster.local.evil/ns/shop/sa/cart"));
        yield return Leaf("a shorter trust domain", SvidProblem.WrongTrustDomain, r => r.WithUris("spiffe://cluster.loca/ns/shop/sa/cart"));
        yield return Leaf("NUL in the URI", SvidProblem.MalformedSan, r => r.WithUris(Workload + "\0.evil"));
        yield return Leaf("a line end in the URI", SvidProblem.MalformedSan, r => r.WithUris(Workload + "\r\nx-evil: 1"));
        yield return Leaf("a space in the URI", SvidProblem.MalformedSan, r => r.WithUris(Workload + " "));
        yield return Leaf("a letter beyond ASCII in the URI", SvidProblem.MalformedSan, r => r.WithUris(Workload + "\u00e9"));
        yield return Leaf("DEL in the URI", SvidProblem.MalformedSan, r => r.WithUris(Workload + "\u007f"));
        yield return Leaf("an empty list of names", SvidProblem.MalformedSan, r => r.Names = []);
        yield return Leaf("names that are no DER", SvidProblem.MalformedSan, r => r.RawNames = [0x30, 0x80, 0x86, 0x01, 0x61, 0, 0]);
        yield return Leaf("names cut off", SvidProblem.MalformedSan, r => r.RawNames = Sequence(UriName(Workload))[..^3]);
        yield return Leaf("no names at all in the extension", SvidProblem.MalformedSan, r => r.RawNames = []);
        yield return Leaf("bytes after the names", SvidProblem.MalformedSan, r => r.RawNames = [.. Sequence(UriName(Workload)), 0]);
        yield return Leaf("a second list after the names", SvidProblem.MalformedSan, r => r.RawNames = [.. Sequence(UriName(Workload)), .. Sequence(UriName(Workload))]);
        yield return Leaf("a name of an unknown tag", SvidProblem.MalformedSan, r => r.Names = [UriName(Workload), NameOf(9, [1])]);
        yield return Leaf("a name of the universal kind", SvidProblem.MalformedSan, r => r.Names = [UriName(Workload), [0x0c, 1, 0x61]]);
        yield return Leaf("a constructed URI", SvidProblem.MalformedSan, r => r.Names = [[0xa6, 3, 0x16, 1, 0x61]]);
        yield return Leaf("a length in more bytes than needed", SvidProblem.MalformedSan, r => r.RawNames = [0x30, 0x81, 3, 0x86, 1, 0x61]);
        yield return Leaf("sixty-five names", SvidProblem.MalformedSan, r => r.Names = [.. Enumerable.Range(0, 65).Select(i => DnsName("n" + i))]);
        yield return Leaf("two extensions of names", SvidProblem.DuplicateExtension, r => r.More.Add(new("2.5.29.17", Sequence(UriName(Workload)), false)));
        yield return Leaf("no subject and names not critical", SvidProblem.SanNotCritical, r => r.Subject = "");
    }

    private static IEnumerable<Case> Uses()
    {
        yield return Leaf("an authority as leaf", SvidProblem.LeafIsAuthority, r => (r.Authority, r.Usage) = (true, Sign));
        yield return Leaf("an authority with its uses", SvidProblem.LeafIsAuthority, r => (r.Authority, r.Usage) = (true, Sign | X509KeyUsageFlags.KeyCertSign));
        yield return Leaf("no key usage", SvidProblem.NoKeyUsage, r => r.Usage = null);
        yield return Leaf("key usage not critical", SvidProblem.KeyUsageNotCritical, r => r.UsageCritical = false);
        yield return Leaf("key usage may sign certificates", SvidProblem.LeafSignsCertificates, r => r.Usage = Sign | X509KeyUsageFlags.KeyCertSign);
        yield return Leaf("key usage may sign revocation lists", SvidProblem.LeafSignsRevocations, r => r.Usage = Sign | X509KeyUsageFlags.CrlSign);
        yield return Leaf("key usage may encipher only", SvidProblem.NoDigitalSignature, r => r.Usage = X509KeyUsageFlags.KeyEncipherment);
        yield return Leaf("key usage may nothing", SvidProblem.NoDigitalSignature, r => r.Usage = X509KeyUsageFlags.None);
        yield return Leaf("for servers only", SvidProblem.NoClientAuthentication, r => r.Purposes = [ServerAuthentication]);
        yield return Leaf("for clients only", SvidProblem.NoServerAuthentication, r => r.Purposes = [ClientAuthentication]);
        yield return Leaf("for mail only", SvidProblem.NoServerAuthentication, r => r.Purposes = ["1.3.6.1.5.5.7.3.4"]);
        yield return Leaf("for any purpose, which is not both", SvidProblem.NoServerAuthentication, r => r.Purposes = ["2.5.29.37.0"]);
        yield return Leaf("for code signing and servers", SvidProblem.NoClientAuthentication, r => r.Purposes = ["1.3.6.1.5.5.7.3.3", ServerAuthentication]);
        yield return Leaf("version 1", SvidProblem.NotVersion3, r => r.Version = null);
        yield return Leaf("version 2", SvidProblem.NotVersion3, r => r.Version = 1);
    }

    private static IEnumerable<Case> Keys()
    {
        yield return Leaf("RSA 512", SvidProblem.WeakKey, r => r.Key = RSA.Create(512));
        yield return Leaf("RSA 1024", SvidProblem.WeakKey, r => r.Key = RSA.Create(1024));
        yield return Leaf("RSA 2040", SvidProblem.WeakKey, r => r.Key = RSA.Create(2040));
        yield return Leaf("a brainpool curve", SvidProblem.UnsupportedKey, r => r.Key = ECDsa.Create(ECCurve.NamedCurves.brainpoolP256r1));
        yield return Leaf("a Bitcoin curve", SvidProblem.UnsupportedKey, r => r.Key = ECDsa.Create(ECCurve.CreateFromValue("1.3.132.0.10")));
        yield return Leaf("Ed25519", SvidProblem.UnsupportedKey, r => r.SubjectPublicKey = Sequence(Sequence([6, 3, 0x2b, 0x65, 0x70]), [3, 33, 0, .. new byte[32]]));
        yield return Leaf("X25519, which signs nothing", SvidProblem.UnsupportedKey, r => r.SubjectPublicKey = Sequence(Sequence([6, 3, 0x2b, 0x65, 0x6e]), [3, 33, 0, .. new byte[32]]));
        yield return Leaf("an EC point not on its curve", SvidProblem.UnsupportedKey, r =>
        {
            var key = r.Key.ExportSubjectPublicKeyInfo();
            key[^1] ^= 1;
            r.SubjectPublicKey = key;
        });
        yield return Leaf("signed over SHA-1", SvidProblem.WeakSignature, r => r.Hash = HashAlgorithmName.SHA1);
        yield return By("signed over SHA-1 with RSA", SvidProblem.WeakSignature, RSA.Create(2048), r => r.Hash = HashAlgorithmName.SHA1);
        yield return By("signed over SHA-1 with RSA-PSS", SvidProblem.WeakSignature, RSA.Create(2048), r => (r.Hash, r.Padding) = (HashAlgorithmName.SHA1, RSASignaturePadding.Pss));
        yield return Issuer("an issuer with RSA 1024", SvidProblem.WeakKey, r => r.Key = RSA.Create(1024));
        yield return Issuer("an issuer signed over SHA-1", SvidProblem.WeakSignature, r => r.Hash = HashAlgorithmName.SHA1);
        yield return Chain("a root with RSA 1024", SvidProblem.WeakKey, f =>
        {
            var root = f.Root(spoil: r => r.Key = RSA.Create(1024));
            return new(f.Leaf(f.Authority(root)), root);
        });
    }

    private static IEnumerable<Case> Times()
    {
        yield return Leaf("ended a second ago", SvidProblem.Expired, r => r.NotAfter = r.NotBefore.AddSeconds(59));
        yield return Leaf("ended a year ago", SvidProblem.Expired, r => (r.NotBefore, r.NotAfter) = (r.NotBefore.AddYears(-2), r.NotBefore.AddYears(-1)));
        yield return Leaf("ends before it begins", SvidProblem.Expired, r => r.NotAfter = r.NotBefore.AddDays(-1));
        yield return Leaf("begins two minutes from now", SvidProblem.NotYetValid, r => r.NotBefore = r.NotBefore.AddMinutes(3));
        yield return Leaf("begins in a year", SvidProblem.NotYetValid, r => (r.NotBefore, r.NotAfter) = (r.NotBefore.AddYears(1), r.NotBefore.AddYears(2)));
        yield return Leaf("begins beyond 2050", SvidProblem.NotYetValid, r => (r.NotBefore, r.NotAfter) = (r.NotBefore.AddYears(30), r.NotBefore.AddYears(31)));
        yield return Issuer("an issuer that ended", SvidProblem.IssuerExpired, r => r.NotAfter = r.NotBefore.AddHours(1));
        yield return Issuer("an issuer of tomorrow", SvidProblem.IssuerNotYetValid, r => r.NotBefore = r.NotBefore.AddDays(2));
        yield return Chain("a root that ended", SvidProblem.IssuerExpired, f =>
        {
            var root = f.Root(spoil: r => r.NotAfter = r.NotBefore.AddHours(1));
            return new(f.Leaf(f.Authority(root)), root);
        });
        yield return Chain("a root of tomorrow", SvidProblem.IssuerNotYetValid, f =>
        {
            var root = f.Root(spoil: r => r.NotBefore = r.NotBefore.AddDays(2));
            return new(f.Leaf(f.Authority(root)), root);
        });
    }

    private static IEnumerable<Case> Chains()
    {
        yield return Chain("another mesh's chain, same ID", SvidProblem.UnknownIssuer, f => new(f.Leaf(f.Authority(f.Root("theirs"), "theirs too")), f.Root("ours")));
        yield return Chain("another mesh's chain, same names", SvidProblem.UnknownIssuer, f => new(f.Leaf(f.Authority(f.Root())), f.Root()));
        yield return Chain("another mesh's chain with its root sent", SvidProblem.UnknownIssuer, f =>
        {
            var leaf = f.Leaf(f.Authority(f.Root("theirs"), "theirs too"));
            return new Shown(leaf, f.Root("ours")) with { Sent = [leaf.Parent!.Certificate, leaf.Parent.Parent!.Certificate] };
        });
        yield return Chain("signed by itself", SvidProblem.UnknownIssuer, f =>
        {
            var self = f.Root(spoil: r => (r.Authority, r.Usage) = (false, X509KeyUsageFlags.DigitalSignature));
            return new(f.Leaf(self, spoil: r => (r.Key, r.Subject) = (self.Key, self.Certificate.Subject)), f.Root("ours"));
        });
        yield return Chain("a missing intermediate", SvidProblem.UnknownIssuer, f =>
        {
            var root = f.Root();
            return new Shown(f.Leaf(f.Authority(root)), root) with { Sent = [] };
        });
        yield return Chain("the intermediate of another branch", SvidProblem.UnknownIssuer, f =>
        {
            var root = f.Root();
            return new Shown(f.Leaf(f.Authority(root, "one")), root) with { Sent = [f.Authority(root, "two").Certificate] };
        });
        yield return Chain("a missing intermediate in the middle", SvidProblem.UnknownIssuer, f =>
        {
            var root = f.Root();
            var low = f.Authority(f.Authority(root, "high"), "low");
            return new Shown(f.Leaf(low), root) with { Sent = [low.Certificate] };
        });
        yield return Leaf("a signature with one bit turned", SvidProblem.BadSignature, r => r.Mangle = BreakSignature);
        yield return Leaf("a name changed after signing", SvidProblem.BadSignature, r => r.Mangle = der => Replace(der, "/sa/cart"u8, "/sa/bank"u8));
        yield return Issuer("an issuer with one bit turned", SvidProblem.BadSignature, r => r.Mangle = BreakSignature);
        yield return Chain("an issuer of the right name and identifier with another key", SvidProblem.BadSignature, f =>
        {
            var root = f.Root();
            var real = f.Authority(root);
            var fake = real with { Key = NewKey() };
            return new(f.Leaf(fake), root);
        });
        yield return Chain("a leaf as issuer", SvidProblem.IssuerNotAuthority, f =>
        {
            var root = f.Root();
            var cart = f.Leaf(f.Authority(root), spoil: r => r.Subject = "CN=cart");
            return new(f.Leaf(cart, "spiffe://cluster.local/ns/shop/sa/admin"), root);
        });
        yield return Issuer("an issuer that says it is none", SvidProblem.IssuerNotAuthority, r => r.Authority = false);
        yield return Issuer("an issuer that does not say what it is", SvidProblem.IssuerNotAuthority, r => r.Authority = null);
        yield return Issuer("an issuer of version 1", SvidProblem.IssuerNotAuthority, r => r.Version = null);
        yield return Issuer("an issuer whose key may not sign certificates", SvidProblem.IssuerMaySignNothing, r => r.Usage = X509KeyUsageFlags.DigitalSignature);
        yield return Issuer("an issuer whose key may sign lists only", SvidProblem.IssuerMaySignNothing, r => r.Usage = X509KeyUsageFlags.CrlSign);
        yield return Issuer("an issuer with a workload's ID", SvidProblem.IssuerIdentity, r => r.WithUris(Workload));
        yield return Issuer("an issuer with a broken ID", SvidProblem.IssuerIdentity, r => r.WithUris("spiffe://cluster.local/"));
        yield return Issuer("an issuer with an ID in capitals", SvidProblem.IssuerIdentity, r => r.WithUris("SPIFFE://cluster.local"));
        yield return Issuer("an issuer with malformed names", SvidProblem.MalformedSan, r => r.RawNames = [0x30, 5]);
        yield return Chain("a root that allows no intermediate", SvidProblem.PathTooLong, f =>
        {
            var root = f.Root(spoil: r => r.PathLength = 0);
            return new(f.Leaf(f.Authority(root)), root);
        });
        yield return Chain("an intermediate below one that allows none", SvidProblem.PathTooLong, f =>
        {
            var root = f.Root();
            return new(f.Leaf(f.Authority(f.Authority(root, "high", r => r.PathLength = 0), "low")), root);
        });
        yield return Chain("a chain of eleven", SvidProblem.TooManyCertificates, f => Deep(f, 10));
        yield return Chain("a chain of a thousand and more", SvidProblem.TooManyCertificates, f =>
        {
            var shown = Deep(f, 1);
            return shown with { Sent = Enumerable.Repeat(shown.Sent.First(), 1000) };
        });
        yield return Leaf("a certificate of two hundred KiB", SvidProblem.CertificateTooLarge, r => r.More.Add(new("1.2.3.4", new byte[200 * 1024], false)));
    }

    private static IEnumerable<Case> Extensions()
    {
        yield return Leaf("a critical extension nobody knows", SvidProblem.UnknownCriticalExtension, r => r.More.Add(new("1.2.3.4.5", [5, 0], true)));
        yield return Issuer("an issuer with a critical extension nobody knows", SvidProblem.UnknownCriticalExtension, r => r.More.Add(new("1.2.3.4.5", [5, 0], true)));
        yield return Leaf("key usage twice", SvidProblem.DuplicateExtension, r => r.More.Add(new X509KeyUsageExtension(Sign | X509KeyUsageFlags.KeyCertSign, true)));
        yield return Leaf("basic constraints twice", SvidProblem.DuplicateExtension, r => r.More.Add(new X509BasicConstraintsExtension(true, false, 0, true)));
        yield return Leaf("purposes twice", SvidProblem.DuplicateExtension, r => r.More.Add(new X509EnhancedKeyUsageExtension([new Oid(ClientAuthentication)], false)));
        yield return Leaf("an unknown extension twice", SvidProblem.DuplicateExtension, r => r.More.AddRange([new("1.2.3.4.5", [5, 0], false), new("1.2.3.4.5", [5, 0], false)]));
        yield return Issuer("an issuer with basic constraints twice", SvidProblem.DuplicateExtension, r => r.More.Add(new X509BasicConstraintsExtension(true, false, 0, true)));
        yield return Leaf("basic constraints that are no DER", SvidProblem.MalformedExtension, r => (r.Authority, r.Usage) = Spoilt(r, "2.5.29.19"));
        yield return Leaf("key usage that is no DER", SvidProblem.MalformedExtension, r =>
        {
            r.Usage = null;
            r.More.Add(new("2.5.29.15", [0x30, 0], true));
        });
        yield return Leaf("purposes that are no DER", SvidProblem.MalformedExtension, r =>
        {
            r.Purposes = null;
            r.More.Add(new("2.5.29.37", [1, 2], false));
        });
        yield return Issuer("a name constraint that excludes the trust domain", SvidProblem.NameNotPermitted, r => r.More.Add(Constraint(excluded: true, "cluster.local")));
        yield return Issuer("a name constraint that permits another trust domain", SvidProblem.NameNotPermitted, r => r.More.Add(Constraint(excluded: false, "other.local")));
    }

    private static (bool? Authority, X509KeyUsageFlags? Usage) Spoilt(CertificateRecipe recipe, string oid)
    {
        recipe.More.Add(new(oid, [2, 1, 1], true));
        return (null, recipe.Usage);
    }

    private static X509Extension Constraint(bool excluded, string host)
    {
        var subtree = Sequence(NameOf(6, System.Text.Encoding.ASCII.GetBytes(host)));
        byte tag = excluded ? (byte)0xa1 : (byte)0xa0;
        return new("2.5.29.30", Sequence([tag, (byte)subtree.Length, .. subtree]), critical: true);
    }

    private static Shown Deep(CertificateForge forge, int authorities)
    {
        var root = forge.Root();
        var issuer = root;
        for (var i = 1; i < authorities; i++) issuer = forge.Authority(issuer, "a" + i);
        return new(forge.Leaf(authorities == 1 ? forge.Authority(root) : issuer), root);
    }

    private static byte[] Replace(byte[] der, ReadOnlySpan<byte> old, ReadOnlySpan<byte> fresh)
    {
        var changed = (byte[])der.Clone();
        fresh.CopyTo(changed.AsSpan(changed.AsSpan().IndexOf(old)));
        return changed;
    }

    private static Case Leaf(string name, SvidProblem problem, Action<CertificateRecipe> spoil) =>
        Chain(name, problem, f =>
        {
            var root = f.Root();
            return new(f.Leaf(f.Authority(root), spoil: spoil), root);
        });

    private static Case Issuer(string name, SvidProblem problem, Action<CertificateRecipe> spoil) =>
        Chain(name, problem, f =>
        {
            var root = f.Root();
            return new(f.Leaf(f.Authority(root, spoil: spoil)), root);
        });

    private static Case By(string name, SvidProblem problem, AsymmetricAlgorithm issuer, Action<CertificateRecipe> spoil) =>
        Chain(name, problem, f =>
        {
            var root = f.Root();
            return new(f.Leaf(f.Authority(root, spoil: r => r.Key = issuer), spoil: spoil), root);
        });

    private static Case Chain(string name, SvidProblem problem, Func<CertificateForge, Shown> make) => (name, problem, make);
}
