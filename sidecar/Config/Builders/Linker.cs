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
    private readonly Instances instances = new();
    private readonly List<ClusterState> retired = [];
    private ResourceSet linkedSet = ResourceSet.Empty;
    private Dictionary<string, Cluster> clusters = new(StringComparer.Ordinal);
    private Dictionary<string, RouteTable> tables = new(StringComparer.Ordinal);
    private Dictionary<string, (Listener Read, Listener Linked)> listeners = new(StringComparer.Ordinal);
    private MeshRanges? ranges;
    private long number;

    /// <summary>The snapshot of a set. Missing route tables are empty, missing assignments have no endpoints.</summary>
    public Snapshot Link(ResourceSet set)
    {
        var (fresh, changed) = LinkClusters(set);
        clusters = fresh;
        tables = LinkTables(set, changed);
        var linked = LinkListeners(set, changed);
        if (!ReferenceEquals(linkedSet.Ranges, set.Ranges)) ranges = MeshRanges.Of(set.Ranges.Values.Select(accepted => accepted.Value));
        linkedSet = set;
        return new Snapshot
        {
            Number = ++number,
            Listeners = linked,
            Instances = instances.Index,
            Names = set.Names.Values.FirstOrDefault()?.Value,
            Ranges = ranges,
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
        // Nobody asks for instances by address but listeners that capture.
        var captures = set.Listeners?.Values.Any(l => l.Value is { IsCaptured: true, Direction: Direction.Outbound }) == true;
        foreach (var (name, accepted) in set.Clusters ?? ImmutableDictionary<string, Accepted<ClusterSettings>>.Empty)
        {
            var cluster = LinkCluster(accepted.Value, set);
            fresh.Add(name, cluster);
            if (!ReferenceEquals(clusters.GetValueOrDefault(name), cluster)) changed.Add(name);
            if (!captures) instances.Remove(name);
            else if (changed.Contains(name) || !instances.Knows(name)) instances.Put(cluster, accepted.Value, EndpointsOf(accepted.Value, set));
        }

        foreach (var (name, old) in clusters)
        {
            if (!fresh.TryGetValue(name, out var now)) changed.Add(name);
            if (now?.State != old.State) retired.Add(old.State);
            if (now is null) instances.Remove(name);
        }

        retired.AddRange(instances.Commit());

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

        var before = Before(old, oldSettings);
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
            Endpoints = [.. endpoints.Select(e => LinkEndpoint(e, settings, before.GetValueOrDefault(e.Authority), ReferenceEquals(settings, oldSettings)))],
        };
    }

    /// <summary>The endpoints a cluster had, with what they were made of.</summary>
    private Dictionary<string, (EndpointSettings Read, Endpoint Linked)> Before(Cluster? old, ClusterSettings? oldSettings)
    {
        if (old is null || oldSettings is null) return [];
        var read = EndpointsOf(oldSettings, linkedSet);
        var before = new Dictionary<string, (EndpointSettings Read, Endpoint Linked)>(read.Length, StringComparer.Ordinal);
        for (var i = 0; i < read.Length; i++) before.Add(read[i].Authority, (read[i], old.Endpoints[i]));
        return before;
    }

    /// <summary>An endpoint that says what it said before, in a cluster that says what it said, stays the same object.</summary>
    private Endpoint LinkEndpoint(EndpointSettings settings, ClusterSettings cluster, (EndpointSettings Read, Endpoint Linked) before, bool sameCluster) =>
        sameCluster && before.Linked is not null && before.Read.SaysTheSameAs(settings) ? before.Linked : MakeEndpoint(settings, cluster, before.Linked?.Stats);

    private Endpoint MakeEndpoint(EndpointSettings settings, ClusterSettings cluster, EndpointStats? stats) => MakeEndpoint(
        settings, cluster, stats,
        [.. settings.More.Select(other => MakeEndpoint(settings with { Host = other.Address.ToString(), Port = other.Port, Authority = other.ToString(), Address = other }, cluster, null, []))]);

    private Endpoint MakeEndpoint(EndpointSettings settings, ClusterSettings cluster, EndpointStats? stats, ImmutableArray<Endpoint> more) => new()
    {
        More = more,
        Host = settings.Host,
        Port = settings.Port,
        Authority = settings.Authority,
        Address = settings.Address,
        IsForeign = cluster.IsExternal,
        IsNamed = settings.Address is null,
        Weight = settings.Weight,
        Priority = settings.Priority,
        Tls = cluster.Sockets.FirstOrDefault(s => s.Fits(settings))?.Tls,
        Hostname = settings.Hostname,
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

    private ImmutableArray<Listener?> LinkListeners(ResourceSet set, HashSet<string> changed)
    {
        var all = set.Listeners ?? ImmutableDictionary<string, Accepted<Listener>>.Empty;
        foreach (var name in all.Keys.Order(StringComparer.Ordinal)) slots.TryAdd(name, slots.Count);
        var linked = new Listener?[slots.Count];
        var fresh = new Dictionary<string, (Listener Read, Listener Linked)>(StringComparer.Ordinal);
        foreach (var (name, accepted) in all)
        {
            var before = listeners.TryGetValue(name, out var last) && ReferenceEquals(last.Read, accepted.Value) ? last.Linked : null;
            var now = LinkListener(accepted.Value, before, slots[name], changed);
            linked[slots[name]] = now;
            fresh.Add(name, (accepted.Value, now));
        }

        listeners = fresh;
        return [.. linked];
    }

    /// <summary>Of thousands of chains only those are made anew that lead to something that changed.</summary>
    private Listener LinkListener(Listener listener, Listener? before, int slot, HashSet<string> changed)
    {
        var chains = new FilterChain[listener.Chains.Length];
        var kept = before is not null;
        for (var i = 0; i < chains.Length; i++)
        {
            chains[i] = LinkChain(listener.Chains[i], before?.Chains[i], changed);
            kept &= ReferenceEquals(chains[i], before?.Chains[i]);
        }

        var last = listener.DefaultChain is null ? null : LinkChain(listener.DefaultChain, before?.DefaultChain, changed);
        if (kept && ReferenceEquals(last, before!.DefaultChain)) return before;
        return listener with { Slot = slot, Chains = ImmutableArray.Create(chains), DefaultChain = last };
    }

    private FilterChain LinkChain(FilterChain chain, FilterChain? before, HashSet<string> changed)
    {
        if (chain.Http is { } http)
        {
            var routes = http.RdsName is { } rds ? tables[rds] : LinkTable(http.Routes, before?.Http?.Routes, changed);
            return before is not null && ReferenceEquals(before.Http?.Routes, routes) ? before : chain with { Http = http with { Routes = routes } };
        }

        if (chain.Tcp is not { } tcp || (before is not null && !tcp.Clusters.Any(c => changed.Contains(c.Name)))) return before ?? chain;
        return chain with { Tcp = tcp with { Clusters = LinkShares(tcp.Clusters) } };
    }
}
