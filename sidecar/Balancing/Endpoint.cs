using System.Net;

namespace Mesh.Sidecar.Balancing;

/// <summary>
/// An address that serves a cluster, as of one snapshot. Immutable, but for <see cref="Stats"/>, which is carried across
/// snapshots by address and is the one mutable thing here.
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

    /// <summary>Relative weight, at least 1.</summary>
    public uint Weight { get; init; } = 1;

    /// <summary>Locality's priority; 0 is tried first.</summary>
    public uint Priority { get; init; }

    /// <summary>Who answers there, for labels.</summary>
    public required PeerLabels Peer { get; init; }

    /// <summary>Requests in flight, latency, ejection.</summary>
    public required EndpointStats Stats { get; init; }
}

/// <summary>What metrics and logs say about one side of a request. Immutable and interned: compared by reference on the hot path.</summary>
public sealed record PeerLabels(string Workload, string Namespace, string Service, string Version)
{
    /// <summary>Nobody we know.</summary>
    public static PeerLabels Unknown { get; } = new("unknown", "unknown", "unknown", "unknown");

    /// <summary>SPIFFE ID once identity exists; <c>unknown</c> until then.</summary>
    public string Principal { get; init; } = "unknown";
}

/// <summary>
/// Live state of one address, shared by all snapshots that contain it. Thread safe: plain atomics, no locks.
/// </summary>
public sealed class EndpointStats
{
    private int active;
    private long ejectedUntil;

    /// <summary>Requests in flight.</summary>
    public int Active => Volatile.Read(ref active);

    /// <summary>Marks a request as begun.</summary>
    public void Begin() => Interlocked.Increment(ref active);

    /// <summary>Marks a request as ended.</summary>
    public void End() => Interlocked.Decrement(ref active);

    /// <summary><see cref="TimeProvider.GetTimestamp"/> until which the address gets nothing; 0 when it is in.</summary>
    public long EjectedUntil
    {
        get => Volatile.Read(ref ejectedUntil);
        set => Volatile.Write(ref ejectedUntil, value);
    }
}
