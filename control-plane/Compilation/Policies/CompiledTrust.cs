using Mesh.Api.V1;
using Mesh.Api.Xds;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>Roots and revocations as resources. Immutable; the same object while they do not change.</summary>
internal sealed class CompiledTrust
{
    private readonly Trust trust;

    private CompiledTrust(Trust trust, CompiledTrust? previous)
    {
        this.trust = trust;
        Secrets = trust.RootsPem.Length == 0 ? ResourceSet.Empty : ResourceSet.From([Resource.Of(TlsCompiler.RootsName, TlsCompiler.Roots(trust.RootsPem))], previous?.Secrets);
        Revocations = ResourceSet.From([Resource.Of(TypeUrls.RevocationsName, new IdentityRevocations { Identities = { trust.Revoked }, IssuingRoot = trust.IssuingRoot })], previous?.Revocations);
    }

    /// <summary>The roots.</summary>
    public ResourceSet Secrets { get; }

    /// <summary>The revoked identities; the resource is there when none is, so that nobody has to wait for it.</summary>
    public ResourceSet Revocations { get; }

    /// <summary>Compiles; <paramref name="previous"/> when nothing changed.</summary>
    public static CompiledTrust From(Trust trust, CompiledTrust? previous) => previous?.trust.Equals(trust) == true ? previous : new(trust, previous);
}
