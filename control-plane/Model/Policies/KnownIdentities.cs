namespace Mesh.ControlPlane.Model.Policies;

/// <summary>The identities a world knows of: proved by workloads, meant for services, granted by join tokens. Pure.</summary>
internal static class KnownIdentities
{
    /// <summary>Those of a world, as SPIFFE IDs.</summary>
    public static HashSet<string> Of(World world) =>
    [
        .. world.Instances.Values.Select(instance => instance.Identity).Where(identity => identity.Length > 0),
        .. world.Services.Keys.SelectMany(service => world.Authority.ServingIdentities(service)),
        .. world.Trust.Grants.Select(grant => grant.Identity),
    ];
}
