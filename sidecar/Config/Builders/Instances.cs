using System.Net;
using Mesh.Sidecar.Balancing;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>
/// Keeps the index of instances while clusters are linked: for each cluster it compares its endpoints with those it had, and carries over what
/// stayed the same object. One thread, the config loop's; lives as long as its linker.
/// </summary>
internal sealed class Instances
{
    private readonly Dictionary<string, Known> known = new(StringComparer.Ordinal);
    private readonly List<Instance> gone = [];
    private readonly List<Instance> come = [];

    /// <summary>The index of the last <see cref="Commit"/>.</summary>
    public InstanceIndex Index { get; private set; } = InstanceIndex.Empty;

    /// <summary>A cluster was made anew. Those whose endpoints EDS brings are services; the others are this host itself, or foreign.</summary>
    public void Put(Cluster cluster, ClusterSettings settings, IReadOnlyList<EndpointSettings> endpoints)
    {
        if (settings.EdsName is null) return;
        var before = known.GetValueOrDefault(cluster.Name);
        // What instances take from their service changes with its settings alone; without its endpoints, which an instance must not keep alive.
        var service = before is not null && ReferenceEquals(before.Settings, settings) && ReferenceEquals(before.Service.State, cluster.State) ? before.Service : cluster.Bare();
        var now = new Known(settings, service, new Dictionary<Endpoint, Instance>(cluster.Endpoints.Length, ReferenceEqualityComparer.Instance));
        for (var i = 0; i < cluster.Endpoints.Length; i++)
        {
            foreach (var endpoint in cluster.Endpoints[i].More.Prepend(cluster.Endpoints[i]))
            {
                if (endpoint.Address is not { } address || IPAddress.IsLoopback(address.Address)) continue;
                if (before is not null && ReferenceEquals(before.Service, service) && before.Instances.Remove(endpoint, out var same)) now.Instances.Add(endpoint, same);
                else now.Instances.Add(endpoint, Made(new Instance(service, settings.Spoken, endpoint, endpoints[i].Identity)));
            }
        }

        if (before is not null) gone.AddRange(before.Instances.Values);
        known[cluster.Name] = now;
    }

    /// <summary>Whether the instances of a cluster are in the index.</summary>
    public bool Knows(string name) => known.ContainsKey(name);

    /// <summary>A cluster is gone.</summary>
    public void Remove(string name)
    {
        if (known.Remove(name, out var before)) gone.AddRange(before.Instances.Values);
    }

    /// <summary>Makes the index of what was put and removed; the state of instances that went is the caller's to dispose.</summary>
    public IEnumerable<ClusterState> Commit()
    {
        Index = Index.With(gone, come);
        var left = gone.Select(i => i.OwnState).OfType<ClusterState>().ToList();
        gone.Clear();
        come.Clear();
        return left;
    }

    private Instance Made(Instance one)
    {
        come.Add(one);
        return one;
    }

    private sealed record Known(ClusterSettings Settings, Cluster Service, Dictionary<Endpoint, Instance> Instances);
}
