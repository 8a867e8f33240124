using System.Collections.Immutable;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Model;

/// <summary>All valid rule documents of one source, as one immutable value: it is replaced whole or not at all.</summary>
public sealed record RuleSet
{
    /// <summary>No rules.</summary>
    public static RuleSet Empty { get; } = new();

    /// <summary>Service documents.</summary>
    public ImmutableArray<ServiceDocument> Services { get; init; } = [];

    /// <summary>EndpointSlice documents.</summary>
    public ImmutableArray<EndpointSliceDocument> EndpointSlices { get; init; } = [];

    /// <summary>Pod documents, already as instances (<see cref="Instance.Service"/> empty).</summary>
    public ImmutableArray<Instance> Pods { get; init; } = [];

    /// <summary>HTTPRoute documents.</summary>
    public ImmutableArray<HttpRoute> HttpRoutes { get; init; } = [];

    /// <summary>ServiceIdentity documents.</summary>
    public ImmutableArray<ServiceIdentity> ServiceIdentities { get; init; } = [];

    /// <summary>PeerAuthentication documents.</summary>
    public ImmutableArray<PeerAuthentication> PeerAuthentications { get; init; } = [];

    /// <summary>AuthorizationPolicy documents.</summary>
    public ImmutableArray<AuthorizationPolicy> AuthorizationPolicies { get; init; } = [];
}

/// <summary>A Kubernetes Service, or a host of a ServiceEntry, as far as the mesh reads it.</summary>
public sealed record ServiceDocument
{
    /// <summary>Namespace and name.</summary>
    public required ServiceName Name { get; init; }

    /// <summary>Ports; at least one.</summary>
    public required ImmutableArray<ServicePort> Ports { get; init; }

    /// <summary>Labels an instance must carry; null when the service has no selector and takes EndpointSlices and registered instances.</summary>
    public ImmutableSortedDictionary<string, string>? Selector { get; init; }

    /// <summary>Cluster addresses, empty when none or headless.</summary>
    public ImmutableArray<string> ClusterIPs { get; init; } = [];

    /// <summary>Where it is when it is outside of the mesh; null for services of the mesh.</summary>
    public ExternalPlace? External { get; init; }

    /// <summary>True for <c>clusterIP: None</c>.</summary>
    public bool Headless { get; init; }

    /// <summary>Where it was written.</summary>
    public required Provenance Source { get; init; }
}

/// <summary>A port of a service.</summary>
/// <param name="Port">The number clients use.</param>
/// <param name="Name">Its name, may be empty when the service has one port.</param>
/// <param name="Protocol">Protocol from appProtocol, else from the name's prefix.</param>
/// <param name="TargetPort">The instance's port, a number or a name, as text; empty means the same number as <paramref name="Port"/>.</param>
public sealed record ServicePort(int Port, string Name, AppProtocol Protocol, string TargetPort = "");

/// <summary>A Kubernetes EndpointSlice as far as the mesh reads it.</summary>
public sealed record EndpointSliceDocument
{
    /// <summary>The service it belongs to (label <c>kubernetes.io/service-name</c>).</summary>
    public required ServiceName Service { get; init; }

    /// <summary>Its endpoints as instances; ports carry the slice's port names.</summary>
    public required ImmutableArray<Instance> Endpoints { get; init; }

    /// <summary>Where it was written.</summary>
    public required Provenance Source { get; init; }
}
