namespace Mesh.ControlPlane.Model;

/// <summary>The identity of a service in the mesh: namespace and name, both DNS labels in lower case; or a host outside of it. Immutable.</summary>
public readonly record struct ServiceName(string Namespace, string Name) : IComparable<ServiceName>
{
    /// <summary>The namespace of everything that does not say otherwise.</summary>
    public const string DefaultNamespace = "default";

    /// <summary>The DNS domain under which services are named. Kubernetes' default.</summary>
    public const string ClusterDomain = "cluster.local";

    /// <summary>A host outside of the mesh: its name is the whole host, <c>payments.example.com</c>, and it is in no namespace.</summary>
    public static ServiceName OfHost(string host) => new("", host);

    /// <summary>True for a host outside of the mesh.</summary>
    public bool IsHost => Namespace is "";

    /// <summary>The full host name, <c>web.default.svc.cluster.local</c>.</summary>
    public string Host => IsHost ? Name : $"{Name}.{Namespace}.svc.{ClusterDomain}";

    /// <summary>True for a host name of two labels or more as <see cref="OfHost"/> takes it: in lower case, no address.</summary>
    public static bool IsValidHost(string host)
    {
        var labels = host.Split('.');
        return labels.Length > 1 && host.Length <= 253 && Array.TrueForAll(labels, IsValid) && !host.Contains('_', StringComparison.Ordinal)
            && !labels[^1].All(char.IsAsciiDigit);
    }

    /// <summary>Reads what <see cref="ToString"/> wrote; null for anything else.</summary>
    public static ServiceName? Parse(string text) => text.Split('/') switch
    {
        [var ns, var name] when IsValid(ns) && IsValid(name) => new ServiceName(ns, name),
        [var host] when IsValidHost(host) => OfHost(host),
        _ => null,
    };

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

    /// <summary>By namespace and name; hosts outside of the mesh come last, so that where the first of two keeps a name, the mesh's own does.</summary>
    public int CompareTo(ServiceName other)
    {
        if (IsHost != other.IsHost) return IsHost ? 1 : -1;
        var byNamespace = string.CompareOrdinal(Namespace, other.Namespace);
        return byNamespace != 0 ? byNamespace : string.CompareOrdinal(Name, other.Name);
    }

    /// <inheritdoc/>
    public override string ToString() => IsHost ? Name : $"{Namespace}/{Name}";
}
