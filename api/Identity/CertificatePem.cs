using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Mesh.Api.Identity;

/// <summary>Certificates from PEM and back. What is no certificate is an error, never skipped. Stateless.</summary>
public static class CertificatePem
{
    private const string Label = "CERTIFICATE";

    /// <summary>Reads certificates; throws <see cref="FormatException"/> that says what is wrong. Holds no private keys.</summary>
    public static ImmutableArray<X509Certificate2> Read(string pem, int mostLetters = 1 << 20)
    {
        if (pem.Length > mostLetters) throw new FormatException($"the PEM has {pem.Length} letters; {mostLetters} are allowed");
        var certificates = ImmutableArray.CreateBuilder<X509Certificate2>();
        var rest = pem.AsSpan();
        while (PemEncoding.TryFind(rest, out var fields))
        {
            var label = rest[fields.Label];
            if (!label.SequenceEqual(Label))
            {
                throw new FormatException(label.EndsWith("PRIVATE KEY")
                    ? $"block {certificates.Count + 1} is a {label}: a file of certificates that are shown to others must hold no key"
                    : $"block {certificates.Count + 1} is a {label}, not a {Label}");
            }

            certificates.Add(Load(rest, fields, certificates.Count + 1));
            rest = rest[fields.Location.End..];
        }

        if (rest.Contains("-----BEGIN", StringComparison.Ordinal))
            throw new FormatException($"block {certificates.Count + 1} is broken: it has a BEGIN line and no proper content and END line");
        if (certificates.Count == 0) throw new FormatException("there is no certificate in it (no '-----BEGIN CERTIFICATE-----')");
        return certificates.ToImmutable();
    }

    /// <summary>Writes certificates one after the other, each with a line end.</summary>
    public static string Write(IEnumerable<X509Certificate2> certificates)
    {
        var text = new StringBuilder();
        foreach (var certificate in certificates) text.Append(certificate.ExportCertificatePem()).Append('\n');
        return text.ToString();
    }

    private static X509Certificate2 Load(ReadOnlySpan<char> pem, PemFields fields, int number)
    {
        var der = new byte[fields.DecodedDataLength];
        Convert.TryFromBase64Chars(pem[fields.Base64Data], der, out _);
        try
        {
            return X509CertificateLoader.LoadCertificate(der);
        }
        catch (CryptographicException e)
        {
            throw new FormatException($"certificate {number} cannot be read: {e.Message}", e);
        }
    }
}
