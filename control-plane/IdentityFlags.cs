using System.Collections.Immutable;
using System.CommandLine;
using Mesh.Api.Identity;
using Mesh.ControlPlane.Admin.Login;
using Mesh.ControlPlane.Identity;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Sources.Registry.Json;

namespace Mesh.ControlPlane;

/// <summary>The flags about identity and how they become <see cref="IdentityOptions"/>. Used once, at the start.</summary>
/// <param name="leastCertificateLifetime">The shortest life of certificates that is taken; tests pass less than the product does.</param>
internal sealed class IdentityFlags(TimeSpan leastCertificateLifetime)
{
    private readonly Option<string> trustDomain = new("--trust-domain") { Description = "trust domain of the mesh: the name in all its identities", DefaultValueFactory = _ => Trust.DefaultDomain, HelpName = "NAME" };
    private readonly Option<string?> authorityFolder = new("--ca-dir") { Description = "folder with your own certificate authority, watched: tls.crt tls.key ca.crt, or ca-cert.pem ca-key.pem cert-chain.pem root-cert.pem", HelpName = "DIR" };
    private readonly Option<string> store = new("--ca-store") { Description = "where the mesh's own authority is kept: folder (in --data), or consul (shared by all control planes, sealed)", DefaultValueFactory = _ => "folder", HelpName = "KIND" };
    private readonly Option<string?> sealKeyFile = new("--ca-seal-key-file") { Description = "file with the key that seals what --ca-store consul keeps: 32 bytes as base64 or hex", HelpName = "FILE" };
    private readonly Option<string> lifetime = new("--certificate-lifetime") { Description = "how long workloads' certificates live, such as 24h", DefaultValueFactory = _ => "24h", HelpName = "DURATION" };
    private readonly Option<string?> kubernetesKeys = new("--kube-jwks") { Description = "JWKS file of Kubernetes' service-account keys (kubectl get --raw /openid/v1/jwks): pods' projected tokens are taken then", HelpName = "FILE" };
    private readonly Option<string?> kubernetesIssuer = new("--kube-issuer") { Description = "the only issuer of such tokens that is believed, such as https://kubernetes.default.svc", HelpName = "URL" };
    private readonly Option<string[]> operators = new("--operator") { Description = "an operator who logs in on the mesh API with a certificate: SPIFFE-ID=view or SPIFFE-ID=admin; may be repeated", HelpName = "ID=ROLE" };

    /// <summary>Adds them to the command.</summary>
    public void AddTo(RootCommand root)
    {
        foreach (var option in (Option[])[trustDomain, authorityFolder, store, sealKeyFile, lifetime, kubernetesKeys, kubernetesIssuer, operators]) root.Options.Add(option);
    }

    /// <summary>Reads them; a <see cref="FormatException"/> says which is wrong.</summary>
    public IdentityOptions Read(ParseResult parsed, bool hasConsul) => new()
    {
        TrustDomain = SpiffeId.TrustDomainProblem(Domain(parsed)) is { } problem ? throw new FormatException($"--trust-domain: {problem}") : Domain(parsed),
        AuthorityFolder = parsed.GetValue(authorityFolder) is { } folder ? Path.GetFullPath(folder) : null,
        SealKeyFile = ReadSeal(parsed, hasConsul),
        Lifetimes = new Lifetimes { Leaf = ReadLifetime(parsed), ShortestLeaf = leastCertificateLifetime },
        KubernetesKeys = parsed.GetValue(kubernetesKeys),
        KubernetesIssuer = parsed.GetValue(kubernetesIssuer),
    };

    /// <summary>Reads who logs in with a certificate.</summary>
    public ImmutableDictionary<string, OperatorRole> ReadOperators(ParseResult parsed)
    {
        var roles = ImmutableDictionary.CreateBuilder<string, OperatorRole>(StringComparer.Ordinal);
        foreach (var text in parsed.GetValue(operators) ?? [])
        {
            var at = text.LastIndexOf('=');
            var role = at < 0 ? null : text[(at + 1)..] switch { "view" => OperatorRole.View, "admin" => OperatorRole.Admin, _ => (OperatorRole?)null };
            if (role is null) throw new FormatException($"--operator: '{text}' is not SPIFFE-ID=view or SPIFFE-ID=admin");
            if (!SpiffeId.TryParse(text[..at], out var id, out var problem)) throw new FormatException($"--operator: '{text[..at]}': {problem}");
            if (id.TrustDomain != Domain(parsed)) throw new FormatException($"--operator: {id} is not of the trust domain {Domain(parsed)}");
            if (!roles.TryAdd(id.ToString(), role.Value)) throw new FormatException($"--operator: {id} is named twice");
        }

        return roles.ToImmutable();
    }

    private string Domain(ParseResult parsed) => parsed.GetValue(trustDomain)!;

    private string? ReadSeal(ParseResult parsed, bool hasConsul)
    {
        var file = parsed.GetValue(sealKeyFile);
        return parsed.GetValue(store) switch
        {
            "folder" => file is null ? null : throw new FormatException("--ca-seal-key-file: only what --ca-store consul keeps is sealed"),
            "consul" when !hasConsul => throw new FormatException("--ca-store consul: there is no --consul"),
            "consul" => file ?? throw new FormatException("--ca-store consul: say with --ca-seal-key-file which key seals it; others can read Consul (make one by: openssl rand -base64 32)"),
            var other => throw new FormatException($"--ca-store: '{other}' is neither folder nor consul"),
        };
    }

    private TimeSpan ReadLifetime(ParseResult parsed)
    {
        var text = parsed.GetValue(lifetime)!;
        if (!GoDuration.TryParse(text, out var life)) throw new FormatException($"--certificate-lifetime: '{text}' is no duration such as 24h or 90m");
        return life >= leastCertificateLifetime && life <= Lifetimes.MostLeaf ? life
            : throw new FormatException($"--certificate-lifetime: at least {leastCertificateLifetime.TotalMinutes:0.##} minutes, at most {Lifetimes.MostLeaf.TotalDays:0} days");
    }
}
