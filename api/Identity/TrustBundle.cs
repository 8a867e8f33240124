using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Mesh.Api.Identity;

/// <summary>
/// The roots that vouch for the IDs of one trust domain. Immutable; share it freely. The certificates live as long as somebody
/// holds the bundle: nobody disposes them.
/// </summary>
public sealed class TrustBundle
{
    private const int MostRoots = 64;
    private const int LongestPem = 1 << 20;
    private readonly ImmutableHashSet<string> hashes;

    /// <summary>Makes a bundle of roots; throws <see cref="FormatException"/> where they are no roots.</summary>
    public TrustBundle(string trustDomain, IEnumerable<X509Certificate2> roots)
    {
        if (SpiffeId.TrustDomainProblem(trustDomain) is { } problem)
            throw new FormatException($"'{trustDomain}' names no trust domain: {problem}");
        TrustDomain = trustDomain;
        // In the order of their hashes: the same roots are the same bundle, however they were written down.
        var byHash = new SortedDictionary<string, X509Certificate2>(StringComparer.Ordinal);
        foreach (var root in roots)
        {
            if (RootProblem(root) is { } bad)
                throw new FormatException($"certificate {byHash.Count + 1} ('{root.Subject}') is no root: {bad}");
            byHash.TryAdd(Sha256(root), root);
        }

        if (byHash.Count == 0) throw new FormatException($"the bundle of trust domain '{trustDomain}' holds no root certificate");
        if (byHash.Count > MostRoots) throw new FormatException($"the bundle holds {byHash.Count} roots; {MostRoots} are allowed");
        Roots = [.. byHash.Values];
        hashes = [.. byHash.Keys];
        Fingerprint = Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(trustDomain + "\n" + string.Join('\n', byHash.Keys))));
    }

    /// <summary>The trust domain the roots vouch for.</summary>
    public string TrustDomain { get; }

    /// <summary>The roots, in the order of their hashes; at least one.</summary>
    public ImmutableArray<X509Certificate2> Roots { get; }

    /// <summary>SHA-256 of the content, in hex: equal for equal bundles.</summary>
    public string Fingerprint { get; }

    /// <summary>Reads a bundle; throws <see cref="FormatException"/> that says what is wrong.</summary>
    public static TrustBundle FromPem(string trustDomain, string pem) => new(trustDomain, CertificatePem.Read(pem, LongestPem));

    /// <summary>The SHA-256 of a certificate, in hex: what tokens pin a root by.</summary>
    public static string Sha256(X509Certificate2 certificate) => Convert.ToHexStringLower(SHA256.HashData(certificate.RawDataMemory.Span));

    /// <summary>Whether a root with this SHA-256 (hex) is in the bundle.</summary>
    public bool Contains(string sha256) => hashes.Contains(sha256.ToLowerInvariant());

    /// <summary>Whether this certificate is one of the roots.</summary>
    public bool Contains(X509Certificate2 certificate) => hashes.Contains(Sha256(certificate));

    /// <summary>The roots as PEM.</summary>
    public string ToPem() => CertificatePem.Write(Roots);

    /// <summary>What it is, for logs.</summary>
    public override string ToString() => $"{TrustDomain}: {Roots.Length} roots, {Fingerprint[..12]}";

    private static string? RootProblem(X509Certificate2 root)
    {
        if (!root.SubjectName.RawData.AsSpan().SequenceEqual(root.IssuerName.RawData)) return "another one issued it";
        var basic = root.Extensions.OfType<X509BasicConstraintsExtension>().FirstOrDefault();
        return basic is { CertificateAuthority: true } ? null : "it is no certificate authority";
    }
}
