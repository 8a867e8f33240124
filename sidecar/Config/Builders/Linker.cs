using System.Collections.Immutable;
using Mesh.Sidecar.Balancing;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>
/// Makes snapshots: resolves every name of a set of resources to the object it means. What did not change since the snapshot before
/// keeps its object, and with it its live state (connections, statistics, ejections). Cannot fail: a name without a resource is a value
/// the data path knows. One thread, the config loop's; lives as long as the process.
/// </summary>
internal sealed class Linker
{
    private readonly Dictionary<string, int> slots = new(StringComparer.Ordinal);
    private readonly PeerLabelPool peers = new();
    private readonly List<ClusterState> retired = [];
    private ResourceSet linkedSet = ResourceSet.Empty;
    private Dictionary<string, Cluster> clusters = new(StringComparer.Ordinal);
    private Dictionary<string, RouteTable> tables = new(StringComparer.Ordinal);
    private long number;

    /// <summary>The snapshot of a set. Missing route tables are empty, missing assignments have no endpoints.</summary>
    public Snapshot Link(ResourceSet set)
    {
        var (fresh, changed) = LinkClusters(set);
        clusters = fresh;
        tables = LinkTables(set, changed);
        var listeners = LinkListeners(set);
        linkedSet = set;
        return new Snapshot
        {
            Number = ++number,
            Listeners = listeners,
            Clusters = [.. clusters.Values.OrderBy(c => c.Name, StringComparer.Ordinal)],
            RouteTables = [.. tables.Values.OrderBy(t => t.Name, StringComparer.Ordinal)],
            Versions = set.Versions,
        };
    }

    /// <summary>
    /// State that no snapshot from now on refers to. The caller disposes it when requests on older snapshots have ended.
    /// </summary>
    public IReadOnlyList<ClusterState> TakeRetired()
    {
        var taken = retired.ToArray();
        retired.Clear();
        return taken;
    }

    private (Dictionary<string, Cluster> Clusters, HashSet<string> Changed) LinkClusters(ResourceSet set)
    {
        var fresh = new Dictionary<string, Cluster>(StringComparer.Ordinal);
        var changed = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (name, accepted) in set.Clusters ?? ImmutableDictionary<string, Accepted<ClusterSettings>>.Empty)
        {
            var cluster = LinkCluster(accepted.Value, set);
            fresh.Add(name, cluster);
            if (!ReferenceEquals(clusters.GetValueOrDefault(name), cluster)) changed.Add(name);
        }

        foreach (var (name, old) in clusters)
        {
            if (!fresh.TryGetValue(name, out var now)) changed.Add(name);
            if (now?.State != old.State) retired.Add(old.State);
        }

        return (fresh, changed);
    }

    private Cluster LinkCluster(ClusterSettings settings, ResourceSet set)
    {
        var old = clusters.GetValueOrDefault(settings.Name);
        var oldSettings = linkedSet.Clusters?.GetValueOrDefault(settings.Name)?.Value;
        var endpoints = EndpointsOf(settings, set);
        if (old is not null && oldSettings is not null)
        {
            if (ReferenceEquals(oldSettings, settings) && EndpointsOf(settings, linkedSet) == endpoints) return old;
            if (!oldSettings.SharesStateWith(settings)) old = null;
        }

        var stats = old?.Endpoints.ToDictionary(e => e.Authority, e => e.Stats, StringComparer.Ordinal) ?? [];
        return new Cluster
        {
            Name = settings.Name,
            Kind = settings.Kind,
            Policy = settings.Policy,
            ConnectTimeout = settings.ConnectTimeout,
            Protocol = settings.Protocol,
            Service = settings.Service,
            Source = settings.Source,
            State = old?.State ?? new ClusterState(),
            Endpoints = [.. endpoints.Select(e => LinkEndpoint(e, settings, stats.GetValueOrDefault(e.Authority)))],
        };
    }

    private Endpoint LinkEndpoint(EndpointSettings settings, ClusterSettings cluster, EndpointStats? stats) => new()
    {
        Host = settings.Host,
        Port = settings.Port,
        Authority = settings.Authority,
        Address = settings.Address,
        Weight = settings.Weight,
        Priority = settings.Priority,
        Tls = cluster.Sockets.FirstOrDefault(s => s.Fits(settings))?.Tls,
        Peer = peers.Intern(settings.Peer),
        Stats = stats ?? new EndpointStats(),
    };

    private static ImmutableArray<EndpointSettings> EndpointsOf(ClusterSettings settings, ResourceSet set) =>
        settings.EdsName is null ? settings.Endpoints : set.Endpoints.GetValueOrDefault(settings.EdsName)?.Value.Endpoints ?? [];

    private Dictionary<string, RouteTable> LinkTables(ResourceSet set, HashSet<string> changed)
    {
        var fresh = new Dictionary<string, RouteTable>(StringComparer.Ordinal);
        foreach (var name in set.RoutesWanted)
        {
            var table = set.Routes.GetValueOrDefault(name)?.Value;
            var same = table is not null && ReferenceEquals(linkedSet.Routes.GetValueOrDefault(name)?.Value, table);
            fresh.Add(name, table is null ? new RouteTable { Name = name } : LinkTable(table, same ? tables.GetValueOrDefault(name) : null, changed));
        }

        return fresh;
    }

    /// <summary>Only the virtual hosts that lead to a changed cluster are made anew; domains and matchers never are.</summary>
    private RouteTable LinkTable(RouteTable table, RouteTable? before, HashSet<string> changed)
    {
        var hosts = new VirtualHost[table.Hosts.Length];
        var kept = 0;
        for (var i = 0; i < hosts.Length; i++)
        {
            var keep = before is not null && !table.Hosts[i].Routes.Any(r => r.Clusters.Any(c => changed.Contains(c.Name)));
            hosts[i] = keep ? before!.Hosts[i] : LinkHost(table.Hosts[i]);
            if (keep) kept++;
        }

        return before is not null && kept == hosts.Length ? before : table with { Hosts = ImmutableArray.Create(hosts) };
    }

    private VirtualHost LinkHost(VirtualHost host) =>
        host with { Routes = [.. host.Routes.Select(r => r.Clusters.IsEmpty ? r : r with { Clusters = LinkShares(r.Clusters) })] };

    private ImmutableArray<WeightedCluster> LinkShares(ImmutableArray<WeightedCluster> shares) =>
        [.. shares.Select(s => s with { Cluster = clusters.GetValueOrDefault(s.Name) })];

    private ImmutableArray<Listener?> LinkListeners(ResourceSet set)
    {
        var all = set.Listeners ?? ImmutableDictionary<string, Accepted<Listener>>.Empty;
        foreach (var name in all.Keys.Order(StringComparer.Ordinal)) slots.TryAdd(name, slots.Count);
        var linked = new Listener?[slots.Count];
        foreach (var (name, accepted) in all) linked[slots[name]] = LinkListener(accepted.Value, slots[name]);
        return [.. linked];
    }

    private Listener LinkListener(Listener listener, int slot) => listener with
    {
        Slot = slot,
        Chains = [.. listener.Chains.Select(LinkChain)],
        DefaultChain = listener.DefaultChain is null ? null : LinkChain(listener.DefaultChain),
    };

    private FilterChain LinkChain(FilterChain chain) => chain with
    {
        Http = chain.Http is null ? null : chain.Http with { Routes = chain.Http.RdsName is { } rds ? tables[rds] : LinkTable(chain.Http.Routes, null, []) },
        Tcp = chain.Tcp is null ? null : chain.Tcp with { Clusters = LinkShares(chain.Tcp.Clusters) },
    };
}
