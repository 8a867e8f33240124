using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Identity;

/// <summary>What identity is told by the command line. Immutable.</summary>
internal sealed record IdentityOptions
{
    /// <summary>The trust domain of the mesh.</summary>
    public string TrustDomain { get; init; } = Trust.DefaultDomain;

    /// <summary>Folder with the operator's own authority, or null for one of the mesh's own.</summary>
    public string? AuthorityFolder { get; init; }

    /// <summary>File with the key that seals what is kept in Consul; null keeps it in the data folder.</summary>
    public string? SealKeyFile { get; init; }

    /// <summary>How long certificates live.</summary>
    public Lifetimes Lifetimes { get; init; } = new();

    /// <summary>JWKS file with the keys of Kubernetes' service-account tokens, or null to take none.</summary>
    public string? KubernetesKeys { get; init; }

    /// <summary>The only issuer of such tokens that is believed; null for any whose keys are in the file.</summary>
    public string? KubernetesIssuer { get; init; }
}
