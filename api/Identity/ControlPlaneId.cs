namespace Mesh.Api.Identity;

/// <summary>The identity of every control plane of a trust domain. Stateless.</summary>
public static class ControlPlaneId
{
    /// <summary>The namespace of the mesh's own workloads.</summary>
    public const string Namespace = "mesh-system";

    /// <summary>The account control planes run as.</summary>
    public const string Account = "control-plane";

    /// <summary>The ID: <c>spiffe://td/ns/mesh-system/sa/control-plane</c>.</summary>
    public static SpiffeId Of(string trustDomain) => SpiffeId.ForWorkload(trustDomain, Namespace, Account);
}
