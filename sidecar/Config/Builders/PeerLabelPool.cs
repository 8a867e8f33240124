using Mesh.Sidecar.Balancing;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>
/// Gives equal labels one object, so that metrics may compare by reference. One thread. Bounded: forgets all when it grows past any
/// mesh's size, which costs telemetry a new lookup and nothing else.
/// </summary>
internal sealed class PeerLabelPool
{
    private const int Most = 20_000;
    private readonly Dictionary<PeerLabels, PeerLabels> known = [];

    /// <summary>The one object of these labels.</summary>
    public PeerLabels Intern(PeerLabels labels)
    {
        if (known.TryGetValue(labels, out var one)) return one;
        if (known.Count >= Most) known.Clear();
        return known[labels] = labels;
    }
}
