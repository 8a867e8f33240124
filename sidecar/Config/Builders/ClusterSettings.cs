using System.Collections.Immutable;
using System.Net;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>A Cluster resource, read and checked, before its endpoints are known. Immutable.</summary>
internal sealed record ClusterSettings
{
    /// <summary>Name of the resource.</summary>
    public required string Name { get; init; }

    /// <summary>How endpoints are found.</summary>
    public ClusterKind Kind { get; init; }

    /// <summary>Balancing policy.</summary>
    public LbPolicy Policy { get; init; }

    /// <summary>Bound of connecting.</summary>
    public TimeSpan ConnectTimeout { get; init; }

    /// <summary>HTTP version towards the endpoints.</summary>
    public UpstreamProtocol Protocol { get; init; }

    /// <summary>The transport sockets endpoints choose among by their metadata, the first that fits; empty is plaintext for all.</summary>
    public ImmutableArray<SocketMatch> Sockets { get; init; } = [];

    /// <summary>The service behind it.</summary>
    public ServiceLabels Service { get; init; } = ServiceLabels.None;

    /// <summary>What its port was declared to speak.</summary>
    public AppProtocol Spoken { get; init; }

    /// <summary>True for a service outside of the mesh.</summary>
    public bool IsExternal { get; init; }

    /// <summary>Where it was written.</summary>
    public string Source { get; init; } = "";

    /// <summary>Name of the ClusterLoadAssignment asked for by EDS; null when the endpoints are written in the cluster.</summary>
    public string? EdsName { get; init; }

    /// <summary>Endpoints written in the cluster.</summary>
    public ImmutableArray<EndpointSettings> Endpoints { get; init; } = [];

    /// <summary>True when connections made under <paramref name="other"/> may go on under these settings.</summary>
    public bool SharesStateWith(ClusterSettings other) =>
        Kind == other.Kind && Protocol == other.Protocol && ConnectTimeout == other.ConnectTimeout;
}

/// <summary>An endpoint, read and checked. Immutable.</summary>
internal sealed record EndpointSettings(string Host, int Port, string Authority, IPEndPoint? Address)
{
    /// <summary>Relative weight, at least 1.</summary>
    public uint Weight { get; init; } = 1;

    /// <summary>Priority of its locality.</summary>
    public uint Priority { get; init; }

    /// <summary>What it says for the choice of its transport socket.</summary>
    public ImmutableArray<KeyValuePair<string, string>> SocketMatch { get; init; } = [];

    /// <summary>Who answers there.</summary>
    public PeerLabels Peer { get; init; } = PeerLabels.Unknown;

    /// <summary>The name it has below that of its service, in lower case; empty for none.</summary>
    public string Hostname { get; init; } = "";

    /// <summary>Where else it is reached: by who dials that very address, and by nobody else.</summary>
    public ImmutableArray<IPEndPoint> More { get; init; } = [];

    /// <summary>The SPIFFE ID this very instance proves; empty when the control plane does not know it first-hand.</summary>
    public string Identity { get; init; } = "";

    /// <summary>Whether it says the same as another. (Equality would compare the arrays by reference.)</summary>
    public bool SaysTheSameAs(EndpointSettings other) =>
        Host == other.Host && Port == other.Port && Weight == other.Weight && Priority == other.Priority && Hostname == other.Hostname && Identity == other.Identity && Peer == other.Peer
        && More.AsSpan().SequenceEqual(other.More.AsSpan())
        && SocketMatch.AsSpan().SequenceEqual(other.SocketMatch.AsSpan());
}

/// <summary>A transport socket for the endpoints whose metadata has all of these fields. Immutable.</summary>
/// <param name="Fields">The fields; none fits every endpoint.</param>
/// <param name="Tls">Mutual TLS, or null for plaintext.</param>
internal sealed record SocketMatch(ImmutableArray<KeyValuePair<string, string>> Fields, UpstreamTls? Tls)
{
    /// <summary>Whether an endpoint has all the fields.</summary>
    public bool Fits(EndpointSettings endpoint) => Fields.All(f => endpoint.SocketMatch.Contains(f));
}

/// <summary>A ClusterLoadAssignment, read and checked. Immutable.</summary>
internal sealed record Assignment(string Name, ImmutableArray<EndpointSettings> Endpoints);
