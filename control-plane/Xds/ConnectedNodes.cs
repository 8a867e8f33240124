using System.Collections.Concurrent;
using System.Collections.Frozen;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Identity.Rotation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Xds;

/// <summary>
/// The nodes with an open stream: for operators, to know which services anybody needs, and who is captured. Thread safe; streams add and remove themselves.
/// </summary>
internal sealed class ConnectedNodes(WorldStore store, ConfigFeed feed, CapturedNodes captured)
{
    /// <summary>
    /// Different addresses at which nodes take captured outbound traffic: for each there is a listener of the size of the mesh. All but a few workloads have the usual ones.
    /// </summary>
    public const int MostOutbounds = 128;

    private readonly ConcurrentDictionary<AdsStream, bool> streams = new();
    private readonly Dictionary<HostPort, int> outbounds = [];
    private readonly Lock interestGate = new();
    private readonly Lock beliefGate = new();

    /// <summary>How many there are.</summary>
    public int Count => streams.Count;

    /// <summary>The newest world.</summary>
    public World World => store.Current;

    /// <summary>What they say of themselves, with the identities they proved.</summary>
    public IEnumerable<NodeDescription> Descriptions => streams.Keys.Select(stream => stream.Node);

    /// <summary>Wakes all of them.</summary>
    public void WakeAll()
    {
        foreach (var (stream, _) in streams) stream.Wake();
    }

    /// <summary>False when the listener of a node would be one too many.</summary>
    public bool HasRoomFor(NodeDescription node)
    {
        lock (beliefGate) return node.Capture is not { } capture || outbounds.Count + capture.Outbound.Count(address => !outbounds.ContainsKey(address)) <= MostOutbounds;
    }

    /// <summary>A node has connected. Null, or why the address at which it says that its traffic is captured is not believed to be its own.</summary>
    public string? Add(AdsStream stream)
    {
        var problem = Believe(stream, isNew: true);
        UpdateInterest();
        return problem;
    }

    /// <summary>A node's stream has ended.</summary>
    public void Remove(AdsStream stream)
    {
        lock (beliefGate)
        {
            if (streams.TryRemove(stream, out _))
            {
                foreach (var outbound in stream.Node.Capture?.Outbound ?? [])
                    if (--outbounds[outbound] == 0) outbounds.Remove(outbound);
            }

            if (stream.Node.Captured is { } address) captured.Remove(stream, address);
        }

        UpdateInterest();
    }

    /// <summary>Looks again at those whose address was not believed: what they are granted changes.</summary>
    public void Reconsider()
    {
        foreach (var (stream, believed) in streams)
        {
            if (!believed) Believe(stream, isNew: false);
        }
    }

    /// <summary>Nobody makes an address one of the mesh by saying that it is his.</summary>
    private string? Believe(AdsStream stream, bool isNew)
    {
        // In turns with its end: who is gone is not there any more.
        lock (beliefGate)
        {
            if (!isNew && !streams.ContainsKey(stream)) return null;
            foreach (var address in isNew ? stream.Node.Capture?.Outbound ?? [] : []) outbounds[address] = outbounds.GetValueOrDefault(address) + 1;
            var (node, claims) = (stream.Node, stream.Node is { Identity: not null, Captured: not null });
            streams[stream] = !claims || OwnAddress.Is(node.Captured!, stream.SeenAt, node.Identity!, store.Current.Authority);
            if (!claims) return null;
            if (!streams[stream]) return OwnAddress.Problem(node.Captured!, stream.SeenAt);
            captured.Add(stream, new CapturedNode(node.Captured!, node.Identity!, node.Workload, node.Traits));
            return null;
        }
    }

    /// <summary>
    /// Tells the sources which services nodes need, by what they declared or (gRPC clients) ask for. Due when nodes or their names
    /// change, and with each new world: routes lead to services nobody named.
    /// </summary>
    public void UpdateInterest()
    {
        if (feed.Current is not { } config) return;

        // One at a time: an older answer must not overwrite a newer one.
        lock (interestGate)
        {
            var services = new HashSet<ServiceName>();
            foreach (var (stream, _) in streams)
            {
                var names = stream.Node.Emitter == EmitterKind.Grpc ? stream.NamesOf(ResourceKind.Listeners) : [];
                var needs = config.Compiled.Needs(stream.Node, names);
                services.UnionWith(needs.Services);
                if (!needs.All) continue;
                store.SetInterest(new Interest(All: true, FrozenSet<ServiceName>.Empty));
                return;
            }

            store.SetInterest(new Interest(All: false, services.ToFrozenSet()));
        }
    }

    /// <summary>The nodes that proved who they are, with their ids.</summary>
    public IEnumerable<(string Identity, string Id)> Identities() =>
        from stream in streams.Keys where stream.Node.Identity is not null select (stream.Node.Identity, stream.Node.Id);

    /// <summary>The holders of certificates among them, and whether each has acknowledged these roots (PEM).</summary>
    public IReadOnlyList<ConnectedHolder> Holders(string roots)
    {
        var trust = feed.Current is { } config && config.Compiled.World.Trust.RootsPem == roots ? config.Compiled.Trust : null;
        var holders = new List<ConnectedHolder>();
        foreach (var (stream, _) in streams)
        {
            if (stream is { Holder: { } holder, Node: { Identity: { } identity, Id: var id } })
                holders.Add(new ConnectedHolder(holder, identity, id, trust is not null && stream.HasAcknowledged(ResourceKind.Secrets, trust.Secrets)));
        }

        return holders;
    }

    /// <summary>True when no connected node can still know an address that the newest configuration does not have.</summary>
    public bool HaveNewestAddresses()
    {
        if (feed.Current is not { } config) return false;
        foreach (var (stream, _) in streams)
        {
            if (stream.Node.Emitter == EmitterKind.Grpc) continue;
            var newest = config.Compiled.For(stream.Node);
            if (stream.Lags(ResourceKind.Names, newest.Names) || stream.Lags(ResourceKind.Listeners, newest.Listeners)) return false;
        }

        return true;
    }

    /// <summary>The nodes by id, with what they were sent.</summary>
    public IReadOnlyList<NodeStatus> List() => [.. streams.Keys.OrderBy(s => s.Node.Id, StringComparer.Ordinal).Select(StatusOf)];

    /// <summary>
    /// The nodes of an id or a workload id, more than one while an old stream dies; else those of a service, so that nobody has to know
    /// an id that was made up. The newest comes first.
    /// </summary>
    public IReadOnlyList<(NodeDescription Node, NodeStatus Status)> Find(string id)
    {
        if (id.Length == 0) return [];
        var found = streams.Keys.Where(s => s.Node.Id == id || s.Node.Workload == id).ToArray();
        if (found.Length == 0) found = [.. streams.Keys.Where(s => s.Node.Service == id)];
        return [.. found.OrderByDescending(s => s.ConnectedSince).Select(s => (s.Node, StatusOf(s)))];
    }

    private static NodeStatus StatusOf(AdsStream stream) => new()
    {
        Id = stream.Node.Id,
        Service = stream.Node.Service,
        Namespace = stream.Node.Namespace,
        Identity = stream.Node.Identity ?? "",
        Workload = stream.Node.Workload,
        Version = stream.Node.Version,
        UserAgent = stream.Node.UserAgent,
        ConnectedSince = stream.ConnectedSince,
        Subscriptions = stream.Subscriptions(),
    };
}
