using Envoy.Config.Core.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Mesh.Api.Identity;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>
/// Certificate, key and roots that stand in the configuration itself. Only a file of the operator may hold a key or name one: what comes from
/// a control plane never does. Reads the files it names, once.
/// </summary>
internal static class WrittenCredentials
{
    private const int LargestFile = 1 << 20;

    /// <summary>The credentials, or null with errors.</summary>
    public static Credentials? Read(TlsCertificate certificate, CertificateValidationContext? validation, Field field)
    {
        if (!field.IsOfFile)
        {
            field.Error("tls_certificates", "private keys are not taken from a control plane: this sidecar makes its own, named by SDS as \"default\"");
            return null;
        }

        var chain = Text(certificate.CertificateChain, field.At("tls_certificates[0].certificate_chain"));
        var key = Text(certificate.PrivateKey, field.At("tls_certificates[0].private_key"));
        var roots = Text(validation?.TrustedCa, field.At("validation_context.trusted_ca"));
        if (chain is null || key is null || roots is null) return null;
        try
        {
            var svid = Svid.FromPem(chain, key);
            return new Credentials(svid, TrustBundle.FromPem(svid.Id.TrustDomain, roots));
        }
        catch (FormatException e)
        {
            field.Error(e.Message);
            return null;
        }
    }

    private static string? Text(DataSource? source, Field field)
    {
        switch (source?.SpecifierCase)
        {
            case DataSource.SpecifierOneofCase.InlineString: return source.InlineString;
            case DataSource.SpecifierOneofCase.InlineBytes: return source.InlineBytes.ToStringUtf8();
            case DataSource.SpecifierOneofCase.Filename: return File(source.Filename, field);
            default:
                field.Error("must be filename, inline_string or inline_bytes");
                return null;
        }
    }

    private static string? File(string path, Field field)
    {
        try
        {
            return RegularFiles.ReadText(path, LargestFile);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            field.Error("filename", $"{path} cannot be read: {e.Message}");
            return null;
        }
    }
}
