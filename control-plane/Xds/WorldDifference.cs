using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Xds;

/// <summary>What kind of change lies between two worlds. Pure; unchanged services are the same object, so it is cheap.</summary>
internal static class WorldDifference
{
    /// <summary>True when services and their ports are the same: no cluster comes or goes, only endpoints and routes differ.</summary>
    public static bool KeepsClusters(World before, World after)
    {
        if (before.Services.Count != after.Services.Count) return false;
        foreach (var (name, service) in after.Services)
        {
            if (!before.Services.TryGetValue(name, out var old)) return false;
            if (!ReferenceEquals(old, service) && !IsSameShape(old, service)) return false;
        }

        return true;
    }

    private static bool IsSameShape(Service before, Service after) =>
        before.AnyPort == after.AnyPort
        && before.ClusterIPs.SequenceEqual(after.ClusterIPs)
        && before.Ports.Select(p => (p.Port, p.Name, p.Protocol)).SequenceEqual(after.Ports.Select(p => (p.Port, p.Name, p.Protocol)));
}
