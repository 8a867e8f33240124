using System.Net;
using Mesh.Api.Identity;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>
/// What a workload may register, by the identity it proved: its own namespace, services it may serve, the address it is seen at.
/// Pure: nothing the registration says about itself is believed.
/// </summary>
internal static class RegistrationAuthority
{
    /// <summary>Why the registration is refused; null when it is within the caller's rights.</summary>
    /// <param name="instance">What is registered.</param>
    /// <param name="caller">The identity of the connection's certificate.</param>
    /// <param name="seenAt">The address the connection comes from; null where it has none.</param>
    /// <param name="world">Says who may serve what.</param>
    public static Refusal? Check(Instance instance, SpiffeId caller, IPAddress? seenAt, World world)
    {
        var identity = caller.ToString();
        var service = new ServiceName(instance.Namespace, instance.Service);
        if (world.Trust.Revoked.Contains(identity, StringComparer.Ordinal))
            return new Refusal("revoked", $"the identity {identity} is revoked");
        if (caller.Namespace != instance.Namespace)
            return new Refusal("namespace", $"namespace '{instance.Namespace}' is not that of {identity}");
        if (instance.Service.Length > 0 && !world.Authority.MayServe(identity, service))
        {
            return new Refusal("service", $"{identity} may not serve {service}, which {string.Join(", ", world.Authority.ServingIdentities(service))} may; "
                + "write a ServiceIdentity, or make its join token with --serves " + instance.Service);
        }

        // At another replica, too: the first stream of an id may take it over from a replica that is gone, but not from another identity.
        if (world.Instances.TryGetValue(instance.Id, out var held) && held.Identity.Length > 0 && held.Identity != identity)
            return new Refusal("workload_id", $"workload id '{instance.Id}' is held by another identity");
        if (identity.Length > MeshMeta.MaxValue)
            return new Refusal("identity", $"an identity of {identity.Length} characters does not fit into the registry, which takes {MeshMeta.MaxValue}");
        return OwnAddress.Is(IPAddress.Parse(instance.Address), seenAt, identity, world.Authority)
            ? null
            : new Refusal("address", OwnAddress.Problem(IPAddress.Parse(instance.Address), seenAt));
    }

    /// <summary>A name somebody can read in a metric, and words for whoever is refused.</summary>
    public sealed record Refusal(string Reason, string Text);
}
