using System.Collections.Immutable;
using System.Security.Cryptography.X509Certificates;
using Envoy.Config.Core.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Mesh.Api.Identity;
using Mesh.Api.V1;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>Secret: the roots, and nothing else: no control plane has a key to send. Pure.</summary>
internal static class SecretBuilder
{
    /// <summary>The roots of a secret.</summary>
    public static ImmutableArray<X509Certificate2> Build(Secret proto, Field field)
    {
        if (proto.Name != TlsContexts.RootsName) field.Error("name", $"only \"{TlsContexts.RootsName}\" is taken from a control plane");
        if (proto.TypeCase != Secret.TypeOneofCase.ValidationContext || proto.ValidationContext.TrustedCa is not { } source)
        {
            field.Error("validation_context.trusted_ca is needed: keys and certificates are not taken from a control plane");
            return [];
        }

        var at = field.At("validation_context.trusted_ca");
        var pem = source.SpecifierCase switch
        {
            DataSource.SpecifierOneofCase.InlineString => source.InlineString,
            DataSource.SpecifierOneofCase.InlineBytes => source.InlineBytes.ToStringUtf8(),
            _ => null,
        };
        if (pem is null) at.Error("must be inline_string or inline_bytes");
        return pem is null ? [] : Read(pem, at);
    }

    private static ImmutableArray<X509Certificate2> Read(string pem, Field field)
    {
        try
        {
            // The trust domain is known to the agent; what makes a root a root is the same in every one.
            return TrustBundle.FromPem("any.domain", pem).Roots;
        }
        catch (FormatException e)
        {
            field.Error(e.Message);
            return [];
        }
    }
}

/// <summary>IdentityRevocations: the identities nobody believes any more. Pure.</summary>
internal static class RevocationsBuilder
{
    /// <summary>The IDs, sorted, and the root.</summary>
    public static Revocations Build(IdentityRevocations proto, Field field)
    {
        for (var i = 0; i < proto.Identities.Count; i++)
        {
            if (!SpiffeId.TryParse(proto.Identities[i], out _, out var problem)) field.At("identities", i).Error(problem);
        }

        if (proto.IssuingRoot.Length > 0 && (proto.IssuingRoot.Length != 64 || !proto.IssuingRoot.All(char.IsAsciiHexDigitLower)))
            field.Error("issuing_root", "is no SHA-256 in lower-case hex");
        return new Revocations([.. proto.Identities.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)], proto.IssuingRoot);
    }
}
