namespace Mesh.ControlPlane.Model;

/// <summary>The identity of a service in the mesh: namespace and name, both DNS labels in lower case. Immutable.</summary>
public readonly record struct ServiceName(string Namespace, string Name) : IComparable<ServiceName>
{
    /// <summary>The namespace of everything that does not say otherwise.</summary>
    public const string DefaultNamespace = "default";

    /// <summary>The DNS domain under which services are named. Kubernetes' default.</summary>
    public const string ClusterDomain = "cluster.local";

    /// <summary>The full host name, <c>web.default.svc.cluster.local</c>.</summary>
    public string Host => $"{Name}.{Namespace}.svc.{ClusterDomain}";

    /// <inheritdoc/>
    public int CompareTo(ServiceName other)
    {
        var byNamespace = string.CompareOrdinal(Namespace, other.Namespace);
        return byNamespace != 0 ? byNamespace : string.CompareOrdinal(Name, other.Name);
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Namespace}/{Name}";
}
