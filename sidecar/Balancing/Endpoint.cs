using System.Collections.Immutable;
using System.Net;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Balancing;

/// <summary>
/// An address that serves a cluster, as of one snapshot. Immutable, but for <see cref="Stats"/>, which is carried across
/// snapshots by cluster and address and is the one mutable thing here.
/// </summary>
public sealed class Endpoint
{
    /// <summary>Host part as the control plane gave it: an IP address, or a host name for foreign registries.</summary>
    public required string Host { get; init; }

    /// <summary>Port to connect to.</summary>
    public required int Port { get; init; }

    /// <summary><c>host:port</c>, IPv6 in brackets; for logs, metrics and pool keys. Built once.</summary>
    public required string Authority { get; init; }

    /// <summary>The parsed address, or null when <see cref="Host"/> is a name that has to be resolved on connect.</summary>
    public IPEndPoint? Address { get; init; }

    /// <summary>The address it is called from, not one of this host's: a client's whom the application shall see. Null is our own.</summary>
    public IPAddress? ClientAddress { get; init; }

    /// <summary>True where a request named it, or a rule as outside of the mesh: whether it may be called in plaintext is asked when it is dialled.</summary>
    public bool IsForeign { get; init; }

    /// <summary>True where the configuration names a host: its addresses are asked for when it is dialled, and kept.</summary>
    public bool IsNamed { get; init; }

    /// <summary>The name it has below that of its service, in lower case; empty for none.</summary>
    public string Hostname { get; init; } = "";

    /// <summary>The same instance at other addresses of its own: for who dials those. Each with connections and a standing of its own.</summary>
    public ImmutableArray<Endpoint> More { get; init; } = [];

    /// <summary>Relative weight, at least 1.</summary>
    public uint Weight { get; init; } = 1;

    /// <summary>Locality's priority; 0 is tried first.</summary>
    public uint Priority { get; init; }

    /// <summary>How it is called over mutual TLS, and as whom; null is plaintext.</summary>
    internal UpstreamTls? Tls { get; init; }

    /// <summary>Who answers there, for labels.</summary>
    public required PeerLabels Peer { get; init; }

    /// <summary>The same address called on other terms: with connections and a standing of its own.</summary>
    internal Endpoint With(UpstreamTls tls) => new()
    {
        Host = Host,
        Port = Port,
        Authority = Authority,
        Address = Address,
        Hostname = Hostname,
        Weight = Weight,
        Priority = Priority,
        Tls = tls,
        Peer = Peer,
        Stats = new EndpointStats(),
    };

    /// <summary>One of the addresses of a host, with the standing of the host.</summary>
    internal Endpoint At(IPEndPoint address) => new()
    {
        Host = Host,
        Port = Port,
        Authority = $"{Authority} ({address.Address})",
        Address = address,
        IsForeign = IsForeign,
        Weight = Weight,
        Priority = Priority,
        Tls = Tls,
        Peer = Peer,
        Stats = Stats,
    };

    /// <summary>Requests in flight, latency, ejection.</summary>
    public required EndpointStats Stats { get; init; }
}

/// <summary>What metrics and logs say about one side of a request. Immutable but for a cache, and interned: compared by reference on the hot path.</summary>
public sealed record PeerLabels(string Workload, string Namespace, string Service, string Version)
{
    private volatile PeerLabels? proven;

    /// <summary>Nobody we know.</summary>
    public static PeerLabels Unknown { get; } = new("unknown", "unknown", "unknown", "unknown");

    /// <summary>SPIFFE ID it proved in the handshake; <c>unknown</c> when it proved none.</summary>
    public string Principal { get; init; } = "unknown";

    /// <summary>The same with the ID it proved; the same object for the same ID, since those of a workload rarely change.</summary>
    public PeerLabels As(string principal)
    {
        if (Principal == principal) return this;
        var known = proven;
        return known?.Principal == principal ? known : proven = this with { Principal = principal };
    }

    /// <inheritdoc/>
    public bool Equals(PeerLabels? other) =>
        ReferenceEquals(this, other)
        || (other is not null && Workload == other.Workload && Namespace == other.Namespace && Service == other.Service && Version == other.Version && Principal == other.Principal);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Workload, Namespace, Service, Version, Principal);
}
