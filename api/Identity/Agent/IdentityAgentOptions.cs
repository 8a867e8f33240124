namespace Mesh.Api.Identity.Agent;

/// <summary>Where an <see cref="IdentityAgent"/> gets its certificate, and what it proves itself with the first time. Immutable.</summary>
public sealed record IdentityAgentOptions
{
    /// <summary>The control plane: <c>host:port</c> or <c>https://host:port</c>.</summary>
    public required string ControlPlane { get; init; }

    /// <summary>A join token; it also names the trust domain and pins the root. A secret.</summary>
    public string? JoinToken { get; init; }

    /// <summary>A file with the mesh's roots (PEM), by which the control plane is known instead of the token's hash.</summary>
    public string? CaFile { get; init; }

    /// <summary>A file with a Kubernetes service-account token; read anew for each request, since the kubelet renews it.</summary>
    public string? KubeTokenFile { get; init; }

    /// <summary>A folder (0700) in which key, certificate and roots outlive a restart, so that no new token is needed.</summary>
    public string? IdentityDir { get; init; }

    /// <summary>The trust domain, where no token and no kept certificate says it.</summary>
    public string TrustDomain { get; init; } = "cluster.local";
}
