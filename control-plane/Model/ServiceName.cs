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

    /// <summary>True for a DNS label as services and namespaces may have: a-z, 0-9, - inside, at most 63. <c>_</c> is let through: Consul has such names.</summary>
    public static bool IsValid(string label)
    {
        if (label.Length is 0 or > 63 || label[0] == '-' || label[^1] == '-') return false;
        foreach (var c in label)
        {
            if (!char.IsAsciiLetterLower(c) && !char.IsAsciiDigit(c) && c is not ('-' or '_')) return false;
        }

        return true;
    }

    /// <inheritdoc/>
    public int CompareTo(ServiceName other)
    {
        var byNamespace = string.CompareOrdinal(Namespace, other.Namespace);
        return byNamespace != 0 ? byNamespace : string.CompareOrdinal(Name, other.Name);
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Namespace}/{Name}";
}
