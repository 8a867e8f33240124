using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model.Policies;

/// <summary>What policies select workloads by. Immutable.</summary>
/// <param name="Namespace">Its namespace.</param>
/// <param name="Service">The service it serves; may be empty.</param>
/// <param name="Labels">Its labels, <c>app</c> and <c>version</c> included.</param>
public sealed record WorkloadTraits(string Namespace, string Service, ImmutableSortedDictionary<string, string> Labels)
{
    /// <summary>Those of an instance.</summary>
    public static WorkloadTraits Of(Instance instance) => new(instance.Namespace, instance.Service, instance.Labels);

    /// <summary>True when it carries all labels of a selector.</summary>
    public bool Carries(ImmutableSortedDictionary<string, string> selector)
    {
        foreach (var (key, value) in selector)
        {
            if (!Labels.TryGetValue(key, out var actual) || actual != value) return false;
        }

        return true;
    }
}
