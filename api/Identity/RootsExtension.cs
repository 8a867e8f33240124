using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity;

/// <summary>
/// The mesh's roots inside the control plane's own leaf, since a TLS server sends all its chain but the root: a caller that knows only
/// a root's hash finds the root here, checks it against the hash, and then has a root to verify this same chain by. Not critical; what
/// it holds is believed only by that check. Stateless.
/// </summary>
public static class RootsExtension
{
    /// <summary>The extension's object identifier.</summary>
    public const string Oid = "2.25.289637741238415";

    private const int MostRoots = 16;
    private const int LargestRoot = 8 * 1024;

    /// <summary>Makes the extension of the roots in force.</summary>
    public static X509Extension Create(IEnumerable<X509Certificate2> roots)
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);
        using (writer.PushSequence())
        {
            foreach (var root in roots) writer.WriteEncodedValue(root.RawDataMemory.Span);
        }

        return new X509Extension(Oid, writer.Encode(), critical: false);
    }

    /// <summary>Reads the roots a leaf carries (not yet believed), or says why there are none.</summary>
    public static bool Read(X509Certificate2 leaf, out ImmutableArray<X509Certificate2> roots, [NotNullWhen(false)] out string? problem)
    {
        roots = [];
        problem = null;
        var found = leaf.Extensions.Where(e => e.Oid?.Value == Oid).ToList();
        if (found is not [var extension])
        {
            problem = $"the certificate carries the mesh's roots {found.Count} times; a control plane's carries them once";
            return false;
        }

        try
        {
            roots = ReadRoots(extension.RawData);
        }
        catch (Exception e) when (e is AsnContentException or CryptographicException)
        {
            problem = "the roots the certificate carries cannot be read: " + e.Message;
        }

        if (problem is null && roots.IsEmpty) problem = "the certificate carries an empty list of roots";
        return problem is null;
    }

    private static ImmutableArray<X509Certificate2> ReadRoots(ReadOnlyMemory<byte> der)
    {
        var outer = new AsnReader(der, AsnEncodingRules.DER);
        var list = outer.ReadSequence();
        outer.ThrowIfNotEmpty();
        var roots = ImmutableArray.CreateBuilder<X509Certificate2>();
        while (list.HasData)
        {
            var root = list.ReadEncodedValue();
            if (roots.Count == MostRoots) throw new AsnContentException($"more than {MostRoots}");
            if (root.Length > LargestRoot) throw new AsnContentException($"one has {root.Length} bytes; {LargestRoot} are allowed");
            roots.Add(X509CertificateLoader.LoadCertificate(root.Span));
        }

        return roots.ToImmutable();
    }
}
