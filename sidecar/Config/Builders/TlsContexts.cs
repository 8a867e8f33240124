using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Envoy.Type.Matcher.V3;
using Mesh.Api.Identity;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>
/// Transport sockets: plaintext, or mutual TLS as this sidecar speaks it (1.3, both certificates, SPIFFE IDs). What asks for something else is
/// refused in words: to skip a field here would let in what it was there to keep out. Pure, but that resources of a file may name files.
/// </summary>
internal static class TlsContexts
{
    /// <summary>SDS name of the sidecar's own certificate; it comes from this sidecar's agent, whoever the configuration says to ask.</summary>
    public const string OwnName = "default";

    /// <summary>SDS name of the roots.</summary>
    public const string RootsName = "ROOTCA";

    /// <summary>How a filter chain takes TLS; null is plaintext.</summary>
    public static DownstreamTls? Downstream(TransportSocket? socket, Field field)
    {
        if (IsPlain(socket, AnyTypes.DownstreamTlsContext, field) || field.UnpackStrictly(socket!.TypedConfig, DownstreamTlsContext.Parser) is not { } proto) return null;
        if (proto.RequireClientCertificate != true) field.Error("require_client_certificate", "must be true: this sidecar takes mutual TLS only");
        field.Unsupported(proto.RequireSni == true, "require_sni");
        var at = field.At("common_tls_context");
        var (rule, written) = Common(proto.CommonTlsContext, at);
        return new DownstreamTls(rule, Protocols(proto.CommonTlsContext, at), written);
    }

    /// <summary>How endpoints are called over TLS; null is plaintext.</summary>
    public static UpstreamTls? Upstream(TransportSocket? socket, Field field)
    {
        if (IsPlain(socket, AnyTypes.UpstreamTlsContext, field) || field.UnpackStrictly(socket!.TypedConfig, UpstreamTlsContext.Parser) is not { } proto) return null;
        var at = field.At("common_tls_context");
        var (rule, written) = Common(proto.CommonTlsContext, at);
        if (rule.TakesAny) at.Error("a validation context with match_typed_subject_alt_names is needed: without an expected identity anybody of the trust domain could answer");
        if (proto.Sni.Length > 253) field.Error("sni", "is longer than 253 characters");
        return new UpstreamTls(rule, proto.Sni, Protocols(proto.CommonTlsContext, at), written);
    }

    private static bool IsPlain(TransportSocket? socket, string wanted, Field field)
    {
        if (socket is null || socket.TypedConfig.Holds(AnyTypes.RawBuffer) || (socket.TypedConfig is null && socket.Name == "envoy.transport_sockets.raw_buffer")) return true;
        if (socket.TypedConfig.Holds(wanted)) return false;
        field.Error($"\"{socket.Name}\" ({socket.TypedConfig?.TypeUrl ?? "no typed_config"}) is not supported here: {AnyTypes.Name(wanted)} is, or raw_buffer");
        return true;
    }

    private static (PeerRule Rule, Credentials? Written) Common(CommonTlsContext? proto, Field field)
    {
        proto ??= new CommonTlsContext();
        Parameters(proto.TlsParams, field.At("tls_params"));
        field.Unsupported(proto.TlsCertificateProviderInstance is not null, "tls_certificate_provider_instance");
        var validation = Validation(proto, field, out var bySds);
        var rule = validation is null ? PeerRule.Any : Peers(validation, field);
        var own = proto.TlsCertificateSdsSecretConfigs;
        if (own.Count > 0 && proto.TlsCertificates.Count > 0) field.Error("tls_certificates and tls_certificate_sds_secret_configs exclude each other");
        if (own.Count > 1 || proto.TlsCertificates.Count > 1) field.Error("more than one certificate is not supported by this sidecar");
        if (own.Count == 0 && proto.TlsCertificates.Count == 0) field.Error("a certificate is needed: tls_certificate_sds_secret_configs or tls_certificates");
        if (own.Count > 0) Named(own[0], OwnName, field.At("tls_certificate_sds_secret_configs", 0));
        if (bySds != own.Count > 0) field.Error("certificate and roots must both come by SDS, or both be written here");
        return proto.TlsCertificates.Count == 0 || bySds ? (rule, null) : (rule, WrittenCredentials.Read(proto.TlsCertificates[0], validation, field));
    }

    private static CertificateValidationContext? Validation(CommonTlsContext proto, Field field, out bool bySds)
    {
        bySds = false;
        switch (proto.ValidationContextTypeCase)
        {
            case CommonTlsContext.ValidationContextTypeOneofCase.ValidationContext:
                return proto.ValidationContext;
            case CommonTlsContext.ValidationContextTypeOneofCase.ValidationContextSdsSecretConfig:
                bySds = true;
                Named(proto.ValidationContextSdsSecretConfig, RootsName, field.At("validation_context_sds_secret_config"));
                return null;
            case CommonTlsContext.ValidationContextTypeOneofCase.CombinedValidationContext:
                bySds = true;
                var combined = proto.CombinedValidationContext;
                Named(combined.ValidationContextSdsSecretConfig, RootsName, field.At("combined_validation_context.validation_context_sds_secret_config"));
                if (combined.DefaultValidationContext?.TrustedCa is not null) field.Error("combined_validation_context.default_validation_context.trusted_ca", "is not supported: the roots come by SDS");
                return combined.DefaultValidationContext;
            default:
                field.Error("a validation context is needed: without roots nobody could be believed");
                return null;
        }
    }

    private static void Named(SdsSecretConfig? config, string name, Field field)
    {
        if (config?.Name != name) field.Error("name", $"\"{config?.Name}\" is not a secret of this sidecar: here it must be \"{name}\"");
        if (field.IsOfFile) field.Error("a file has no control plane behind it to get secrets from: write tls_certificates and validation_context.trusted_ca");
    }

    private static PeerRule Peers(CertificateValidationContext proto, Field field)
    {
        field.Unsupported(proto.VerifyCertificateHash.Count > 0, "verify_certificate_hash");
        field.Unsupported(proto.VerifyCertificateSpki.Count > 0, "verify_certificate_spki");
        field.Unsupported(proto.Crl is not null, "crl");
        field.Unsupported(proto.AllowExpiredCertificate, "allow_expired_certificate");
        field.Unsupported(proto.TrustChainVerification != CertificateValidationContext.Types.TrustChainVerification.VerifyTrustChain, "trust_chain_verification");
        field.Unsupported(proto.CustomValidatorConfig is not null, "custom_validator_config");
        field.Unsupported(proto.CaCertificateProviderInstance is not null, "ca_certificate_provider_instance");
        field.Unsupported(proto.MatchSubjectAltNames.Count > 0, "match_subject_alt_names (match_typed_subject_alt_names is)");
        var exact = new SortedSet<string>(StringComparer.Ordinal);
        var prefixes = new SortedSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < proto.MatchTypedSubjectAltNames.Count; i++) Peer(proto.MatchTypedSubjectAltNames[i], exact, prefixes, field.At("match_typed_subject_alt_names", i));
        return new PeerRule([.. exact], [.. prefixes]);
    }

    private static void Peer(SubjectAltNameMatcher proto, SortedSet<string> exact, SortedSet<string> prefixes, Field field)
    {
        if (proto.SanType != SubjectAltNameMatcher.Types.SanType.Uri) field.Error("san_type", "must be URI: workloads are known by their SPIFFE ID alone");
        field.Unsupported(proto.Matcher?.IgnoreCase == true, "matcher.ignore_case");
        switch (proto.Matcher?.MatchPatternCase)
        {
            case StringMatcher.MatchPatternOneofCase.Exact:
                if (SpiffeId.TryParse(proto.Matcher.Exact, out var id, out var wrong)) exact.Add(id.ToString());
                else field.Error("matcher.exact", $"\"{proto.Matcher.Exact}\": {wrong}");
                break;
            case StringMatcher.MatchPatternOneofCase.Prefix when proto.Matcher.Prefix.StartsWith("spiffe://", StringComparison.Ordinal) && proto.Matcher.Prefix.EndsWith('/'):
                prefixes.Add(proto.Matcher.Prefix);
                break;
            case StringMatcher.MatchPatternOneofCase.Prefix:
                field.Error("matcher.prefix", $"\"{proto.Matcher.Prefix}\" must begin with spiffe:// and end with a slash, else one name could pass for another");
                break;
            default:
                field.Error("matcher", "must be exact or prefix");
                break;
        }
    }

    private static void Parameters(TlsParameters? proto, Field field)
    {
        if (proto is null) return;
        Version(proto.TlsMinimumProtocolVersion, "tls_minimum_protocol_version", field);
        Version(proto.TlsMaximumProtocolVersion, "tls_maximum_protocol_version", field);
        field.Unsupported(proto.CipherSuites.Count > 0, "cipher_suites");
        field.Unsupported(proto.EcdhCurves.Count > 0, "ecdh_curves");
    }

    private static void Version(TlsParameters.Types.TlsProtocol version, string name, Field field)
    {
        if (version is not (TlsParameters.Types.TlsProtocol.TlsAuto or TlsParameters.Types.TlsProtocol.Tlsv13))
            field.Error(name, $"{version}: this sidecar speaks TLS 1.3 and nothing older");
    }

    private static ImmutableArray<string> Protocols(CommonTlsContext? proto, Field field)
    {
        var protocols = proto?.AlpnProtocols.ToImmutableArray() ?? [];
        if (protocols.Any(p => p.Length is 0 or > 255 || p.Any(c => c is <= ' ' or > '~'))) field.Error("alpn_protocols", "holds what is no protocol name");
        return protocols.RemoveAll(p => p.Length is 0 or > 255);
    }
}
