using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Formats.Asn1;
using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity;

/// <summary>
/// Reads the URIs among a certificate's subject alternative names from their DER. The runtime lists DNS names and addresses only, and
/// what names a workload must be read strictly: a second extension, trailing bytes or a control character is an error, never skipped.
/// Stateless.
/// </summary>
public static class UriSans
{
    private const string Oid = "2.5.29.17";
    private const int UriTag = 6;
    private const int MostNames = 64;

    /// <summary>Reads all URI names, in their order; a certificate without alternative names has none.</summary>
    public static bool TryRead(X509Certificate2 certificate, out ImmutableArray<string> uris, [NotNullWhen(false)] out string? problem) =>
        TryRead(certificate, out uris, out _, out problem) == SvidProblem.None;

    internal static SvidProblem TryRead(
        X509Certificate2 certificate, out ImmutableArray<string> uris, out bool critical, out string? problem)
    {
        (uris, critical) = ([], false);
        X509Extension? names = null;
        foreach (var extension in certificate.Extensions)
        {
            if (extension.Oid?.Value != Oid) continue;
            if (names is not null)
            {
                problem = "it has two extensions of subject alternative names";
                return SvidProblem.DuplicateExtension;
            }

            names = extension;
        }

        problem = null;
        if (names is null) return SvidProblem.None;
        critical = names.Critical;
        problem = Read(names.RawData, out uris);
        return problem is null ? SvidProblem.None : SvidProblem.MalformedSan;
    }

    private static string? Read(ReadOnlyMemory<byte> der, out ImmutableArray<string> uris)
    {
        uris = [];
        var found = ImmutableArray.CreateBuilder<string>();
        try
        {
            var outer = new AsnReader(der, AsnEncodingRules.DER);
            var names = outer.ReadSequence();
            outer.ThrowIfNotEmpty();
            if (!names.HasData) return "its subject alternative names are empty";
            for (var count = 1; names.HasData; count++)
            {
                if (count > MostNames) return $"it has more than {MostNames} subject alternative names";
                if (ReadName(names, found) is { } problem) return problem;
            }
        }
        catch (AsnContentException e)
        {
            return "its subject alternative names are not DER: " + e.Message;
        }

        uris = found.ToImmutable();
        return null;
    }

    private static string? ReadName(AsnReader names, ImmutableArray<string>.Builder uris)
    {
        var tag = names.PeekTag();
        if (tag.TagClass != TagClass.ContextSpecific || tag.TagValue > 8)
            return $"a subject alternative name has the unknown tag {tag}";
        if (tag.TagValue != UriTag)
        {
            names.ReadEncodedValue();
            return null;
        }

        if (!names.TryReadPrimitiveOctetString(out var bytes, new Asn1Tag(TagClass.ContextSpecific, UriTag)))
            return "a URI among its subject alternative names is not primitive";
        foreach (var b in bytes.Span)
        {
            if (b is <= (byte)' ' or >= 0x7f) return $"a URI among its subject alternative names holds the byte 0x{b:x2}";
        }

        uris.Add(System.Text.Encoding.ASCII.GetString(bytes.Span));
        return null;
    }
}
