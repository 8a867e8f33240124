using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;
using Mesh.Tests;

namespace Mesh.Api.Tests.Identity;

/// <summary>Good inputs with bytes changed at random (the seed is fixed): never believed, and never an exception nobody expects.</summary>
public class MutationTests
{
    private readonly ManualTimeProvider time = new();
    private readonly Random random = new(7);

    [Fact]
    public void No_changed_certificate_is_believed()
    {
        var forge = new CertificateForge(time);
        var root = forge.Root();
        var leaf = forge.Leaf(forge.Authority(root));
        var bundle = new TrustBundle("cluster.local", [root.Certificate]);
        var verifier = new SvidVerifier(time);
        var (readable, problems) = (0, new HashSet<SvidProblem>());
        for (var i = 0; i < 4000; i++)
        {
            if (Load(Changed(leaf.Certificate.RawData)) is not { } changed) continue;
            var verdict = verifier.Verify(changed, leaf.Intermediates(), bundle);
            Assert.False(verdict.Ok, $"{i}: {Convert.ToHexString(changed.RawData)}");
            problems.Add(verdict.Problem);
            readable++;
        }

        // The mutations reach deep: most can be read, and fail for many reasons.
        Assert.InRange(readable, 500, 4000);
        Assert.InRange(problems.Count, 6, 40);
        Assert.True(verifier.Verify(leaf.Certificate, leaf.Intermediates(), bundle).Ok);
    }

    [Fact]
    public void No_changed_issuer_vouches()
    {
        var forge = new CertificateForge(time);
        var root = forge.Root();
        var leaf = forge.Leaf(forge.Authority(root));
        var bundle = new TrustBundle("cluster.local", [root.Certificate]);
        for (var i = 0; i < 1000; i++)
        {
            if (Load(Changed(leaf.Parent!.Certificate.RawData)) is { } changed)
                Assert.False(new SvidVerifier(time).Verify(leaf.Certificate, [changed], bundle).Ok, $"{i}: {Convert.ToHexString(changed.RawData)}");
        }
    }

    [Fact]
    public void No_changed_request_gives_a_key()
    {
        var der = new CertificateRequest("CN=cart", CertificateForge.NewKey(), HashAlgorithmName.SHA256).CreateSigningRequest();
        for (var i = 0; i < 3000; i++)
            Assert.False(Csr.TryReadKey(PemEncoding.WriteString("CERTIFICATE REQUEST", Changed(der)), out _, out var problem), $"{i}: {problem}");
    }

    [Fact]
    public void No_changed_token_is_good()
    {
        var key = new byte[32];
        var token = JoinToken.Create(SpiffeId.Parse(CertificateForge.Workload), ["cart"], [], time.GetUtcNow().AddMinutes(1), new string('a', 64), key);
        for (var i = 0; i < 5000; i++)
        {
            var text = token.Text.ToCharArray();
            var at = random.Next(text.Length);
            var fresh = (char)random.Next(33, 127);
            if (text[at] == fresh) continue;
            text[at] = fresh;
            Assert.NotEqual(JoinTokenProblem.None, JoinToken.Verify(new string(text), [key], time.GetUtcNow()).Problem);
        }
    }

    [Fact]
    public void Changed_roots_in_a_leaf_are_read_or_refused()
    {
        var forge = new CertificateForge(time);
        var root = forge.Root();
        var der = CertificateForge.RootsExtension(root.Certificate.RawData).RawData;
        for (var i = 0; i < 1000; i++)
        {
            var leaf = forge.Leaf(root, spoil: r => r.More.Add(new X509Extension(RootsExtension.Oid, Changed(der), false)));
            if (RootsExtension.Read(leaf.Certificate, out var roots, out _)) Assert.NotEqual(root.Certificate.RawData, roots[0].RawData);
        }
    }

    /// <summary>One to three bytes changed, or a piece cut out or doubled.</summary>
    private byte[] Changed(byte[] der)
    {
        var changed = (byte[])der.Clone();
        if (random.Next(8) == 0)
        {
            var (from, length) = (random.Next(der.Length), random.Next(1, 16));
            return random.Next(2) == 0 ? [.. der[..from], .. der.Skip(from + length)] : [.. der[..from], .. der.Skip(from).Take(length), .. der[from..]];
        }

        for (var i = random.Next(1, 4); i > 0; i--) changed[random.Next(changed.Length)] ^= (byte)random.Next(1, 256);
        return changed.AsSpan().SequenceEqual(der) ? Changed(der) : changed;
    }

    /// <summary>Null when it cannot be read, or reads as it was: the runtime drops what stands behind a certificate.</summary>
    private static X509Certificate2? Load(byte[] der)
    {
        try
        {
            var read = X509CertificateLoader.LoadCertificate(der);
            return read.RawData.Length == der.Length ? read : null;
        }
        catch (CryptographicException)
        {
            return null;
        }
    }
}
