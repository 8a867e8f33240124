using System.Collections.Frozen;
using System.Collections.Immutable;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Model;

/// <summary>
/// Everything the control plane knows at one moment: the only place where sources and the xDS server meet.
/// Immutable; built by <see cref="WorldBuilder"/> from the slices of the sources.
/// </summary>
public sealed record World
{
    /// <summary>Nothing known.</summary>
    public static World Empty { get; } = new();

    /// <summary>Grows by one with each published world.</summary>
    public long Version { get; init; }

    /// <summary>Services by name, endpoints resolved, routes attached.</summary>
    public IReadOnlyDictionary<ServiceName, Service> Services { get; init; } = FrozenDictionary<ServiceName, Service>.Empty;

    /// <summary>All instances of all sources and all Pod documents, one for each id. Never changed once published.</summary>
    public IReadOnlyDictionary<string, Instance> Instances { get; init; } = FrozenDictionary<string, Instance>.Empty;

    /// <summary>
    /// Services that only a registry knew and that nobody serves any more, the longest gone first. They stay in <see cref="Services"/> without
    /// endpoints: their clients are told that nobody serves, and not that there is no such name.
    /// </summary>
    public ImmutableArray<ServiceName> Departed { get; init; } = [];

    /// <summary>What may be missing from <see cref="Services"/> because a registry has not been read for it.</summary>
    public Unread Unread { get; init; } = Unread.Nothing;

    /// <summary>All policies; the same object while no document of them changes.</summary>
    public PolicySet Policies { get; init; } = PolicySet.Empty;

    /// <summary>Whom certificates can speak for; the same object while that does not change.</summary>
    public Trust Trust { get; init; } = Trust.None;

    /// <summary>Who may serve what.</summary>
    public ServiceAuthority Authority { get; init; } = ServiceAuthority.Default;

    /// <summary>What the operator says of the network.</summary>
    public NetworkTerms Network { get; init; } = NetworkTerms.Default;

    /// <summary>The addresses given to services that have none of their own.</summary>
    public VirtualAddresses Virtual { get; init; } = VirtualAddresses.None;

    /// <summary>How the services were resolved, for the next build.</summary>
    internal IReadOnlyDictionary<ServiceName, Resolution> Resolutions { get; init; } = FrozenDictionary<ServiceName, Resolution>.Empty;

    /// <summary>What is odd but not wrong about services, routes and registries: a route to a service that does not exist, a selector that finds nothing.</summary>
    public ImmutableArray<Notice> Notices { get; init; } = [];

    /// <summary>The addresses that mean a service: those of the cluster, else virtual ones; none when it is headless, or was given none yet.</summary>
    public ImmutableArray<string> AddressesOf(Service service) =>
        service.NeedsAddress ? Virtual.Of(service.Name) : service.ClusterIPs;

    /// <summary>Those and what is odd about policies, which takes a look at all of them and is worked out when somebody asks.</summary>
    public ImmutableArray<Notice> AllNotices => [.. Notices, .. PolicyNotices.Value];

    /// <summary>What is odd about policies.</summary>
    internal Lazy<ImmutableArray<Notice>> PolicyNotices { get; init; } = new(() => []);

    /// <summary>True when instances of a service may be missing: of its name, or of those its selector finds.</summary>
    public bool IsUnread(ServiceName service)
    {
        if (Unread.Names.Count == 0) return false;
        if (Resolutions.GetValueOrDefault(service)?.Document?.Selector is not { } selector) return Unread.Names.Contains(service.Name);
        // Instances carry their service as the label "app"; a selector without it may find instances of any service.
        return !selector.TryGetValue("app", out var app) || Unread.Names.Contains(app);
    }
}

/// <summary>Something an operator should know, with the place to look at.</summary>
public sealed record Notice(Provenance Source, string Text);

/// <summary>A service with everything resolved.</summary>
public sealed record Service
{
    /// <summary>Namespace and name.</summary>
    public required ServiceName Name { get; init; }

    /// <summary>Ports with their endpoints, in declared order. The first is what a host without port means, unless one is port 80.</summary>
    public required ImmutableArray<ResolvedPort> Ports { get; init; }

    /// <summary>Routes attached to it, in precedence order of the documents; empty means: straight to its own endpoints.</summary>
    public ImmutableArray<HttpRoute> Routes { get; init; } = [];

    /// <summary>True when ports come from a registry only: any port a client names means its one port.</summary>
    public bool AnyPort { get; init; }

    /// <summary>True when no document describes it.</summary>
    public bool FromRegistry { get; init; }

    /// <summary>Cluster addresses, empty when it has none.</summary>
    public ImmutableArray<string> ClusterIPs { get; init; } = [];

    /// <summary>True when clients are to connect to its instances: its name means their addresses.</summary>
    public bool Headless { get; init; }

    /// <summary>How its endpoints are found when it is outside of the mesh; null for services of the mesh.</summary>
    public ExternalResolution? External { get; init; }

    /// <summary>True when it has no address and should have one.</summary>
    public bool NeedsAddress => ClusterIPs.IsEmpty && !Headless;

    /// <summary>Where it comes from.</summary>
    public required Provenance Source { get; init; }

    /// <summary>The port a host without port means: 80 if there is one, else the first; null when it has none.</summary>
    public ResolvedPort? DefaultPort => Find(80) ?? (Ports.Length > 0 ? Ports[0] : null);

    /// <summary>The port a client means by <paramref name="number"/>, or null.</summary>
    public ResolvedPort? PortFor(int number) => Find(number) ?? (AnyPort && Ports.Length > 0 ? Ports[0] : null);

    /// <summary>Equal by content, arrays included.</summary>
    public bool Equals(Service? other) =>
        ReferenceEquals(this, other) || (other is not null
            && Name == other.Name
            && Sequence.Same(Ports, other.Ports)
            && Sequence.Same(Routes, other.Routes)
            && AnyPort == other.AnyPort
            && FromRegistry == other.FromRegistry
            && Sequence.Same(ClusterIPs, other.ClusterIPs)
            && Headless == other.Headless
            && External == other.External
            && Source == other.Source);

    /// <inheritdoc/>
    public override int GetHashCode() => Name.GetHashCode();

    private ResolvedPort? Find(int number)
    {
        foreach (var port in Ports)
        {
            if (port.Port == number) return port;
        }

        return null;
    }
}

/// <summary>A port of a service and who serves it.</summary>
/// <param name="Port">The number clients use.</param>
/// <param name="Name">Its name, may be empty.</param>
/// <param name="Protocol">What is spoken there.</param>
/// <param name="Endpoints">Who may get its traffic, sorted by instance id; each address once.</param>
public sealed record ResolvedPort(int Port, string Name, AppProtocol Protocol, ImmutableArray<Endpoint> Endpoints)
{
    /// <summary>Equal by content, arrays included.</summary>
    public bool Equals(ResolvedPort? other) =>
        ReferenceEquals(this, other) || (other is not null
            && Port == other.Port
            && Name == other.Name
            && Protocol == other.Protocol
            && Sequence.Same(Endpoints, other.Endpoints));

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Port, Name);
}

/// <summary>An address that serves a port of a service.</summary>
/// <param name="Address">IP address or host name.</param>
/// <param name="Port">Port to connect to.</param>
/// <param name="Instance">The instance behind it.</param>
public sealed record Endpoint(string Address, int Port, Instance Instance)
{
    /// <summary>True when a client that has an identity of its own calls it under mutual TLS.</summary>
    public bool TakesTls(PolicySet policies) =>
        Instance.Identity.Length > 0 && policies.ModeOf(WorkloadTraits.Of(Instance), AppPort) != TlsMode.Disable;

    private int AppPort
    {
        get
        {
            foreach (var port in Instance.Ports)
            {
                if (port.Port == Port) return port.AppPort;
            }

            return Port;
        }
    }
}
