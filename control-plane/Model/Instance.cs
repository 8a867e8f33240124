using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model;

/// <summary>
/// One running thing that serves: a workload that registered itself, a Consul service instance, a Pod document.
/// Immutable; a source replaces its whole list of them.
/// </summary>
public sealed record Instance
{
    /// <summary>Unique among the instances of all sources; the workload id for workloads of the mesh.</summary>
    public required string Id { get; init; }

    /// <summary>Namespace the instance lives in.</summary>
    public required string Namespace { get; init; }

    /// <summary>The service it registered itself under; empty for one that only selectors find (a Pod document).</summary>
    public required string Service { get; init; }

    /// <summary>IP address (or, from foreign registries, host name) to connect to.</summary>
    public required string Address { get; init; }

    /// <summary>The name it has below that of a headless service, a DNS label; empty for none.</summary>
    public string Hostname { get; init; } = "";

    /// <summary>Other addresses of its own that it is reached by, of a workload whose traffic is captured; none of them gets traffic by service.</summary>
    public ImmutableArray<string> MoreAddresses { get; init; } = [];

    /// <summary>Its ports, at least one for something that can be called.</summary>
    public required ImmutableArray<InstancePort> Ports { get; init; }

    /// <summary>Labels for selectors. <c>app</c> (the service) and <c>version</c> are always there when known.</summary>
    public ImmutableSortedDictionary<string, string> Labels { get; init; } = ImmutableSortedDictionary<string, string>.Empty;

    /// <summary>Name of the workload (a Deployment, a unit); for metrics. Defaults to the service.</summary>
    public string Workload { get; init; } = "";

    /// <summary>Version label, empty when unknown.</summary>
    public string Version { get; init; } = "";

    /// <summary>Zone of its locality, empty when unknown.</summary>
    public string Zone { get; init; } = "";

    /// <summary>Whether it may get traffic.</summary>
    public InstanceHealth Health { get; init; } = InstanceHealth.Passing;

    /// <summary>Relative weight, at least 1.</summary>
    public int Weight { get; init; } = 1;

    /// <summary>True when a sidecar of this mesh stands in front of it.</summary>
    public bool Meshed { get; init; }

    /// <summary>True when its sidecar takes everything that is sent to its address, whatever the port.</summary>
    public bool Captured { get; init; }

    /// <summary>
    /// The SPIFFE ID its sidecar proves itself with; empty for none. First-hand from the certificate it registered with; from a registry
    /// it is a claim, which can make a client expect an identity and never make it expect none.
    /// </summary>
    public string Identity { get; init; } = "";

    /// <summary>The service account that a Pod document names; empty for what is not one. What runs there proves it or does not.</summary>
    public string Account { get; init; } = "";

    /// <summary>Where it was registered.</summary>
    public required Provenance Source { get; init; }

    /// <summary>Equal by content, arrays included.</summary>
    public bool Equals(Instance? other) =>
        ReferenceEquals(this, other) || (other is not null
            && Id == other.Id
            && Namespace == other.Namespace
            && Service == other.Service
            && Address == other.Address
            && Hostname == other.Hostname
            && Sequence.Same(MoreAddresses, other.MoreAddresses)
            && Sequence.Same(Ports, other.Ports)
            && Sequence.Same(Labels, other.Labels)
            && Workload == other.Workload
            && Version == other.Version
            && Zone == other.Zone
            && Health == other.Health
            && Weight == other.Weight
            && Meshed == other.Meshed
            && Captured == other.Captured
            && Identity == other.Identity
            && Account == other.Account
            && Source == other.Source);

    /// <inheritdoc/>
    public override int GetHashCode() => Id.GetHashCode(StringComparison.Ordinal);
}

/// <summary>A port of an instance.</summary>
/// <param name="Name">Name as declared, may be empty.</param>
/// <param name="AppPort">The port of the application, which selectors and clients name.</param>
/// <param name="Protocol">What is spoken there.</param>
/// <param name="Port">The port to connect to: the sidecar's inbound port, or the application's own without sidecar.</param>
public sealed record InstancePort(string Name, int AppPort, AppProtocol Protocol, int Port)
{
    /// <summary>True when nobody accepts there: the port gets no traffic, whatever the health of the instance.</summary>
    public bool IsDown { get; init; }
}

/// <summary>Health as the registry sees it; only <see cref="Passing"/> and <see cref="Warning"/> get traffic.</summary>
public enum InstanceHealth
{
    /// <summary>Serves.</summary>
    Passing,

    /// <summary>Serves, but not well.</summary>
    Warning,

    /// <summary>Does not serve.</summary>
    Critical,

    /// <summary>Serves what it has and gets nothing new.</summary>
    Draining,
}
