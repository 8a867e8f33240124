using System.Collections.Immutable;
using System.Net;

namespace Mesh.Sidecar.Capture;

/// <summary>How inbound connections are taken: their destination rewritten, or kept (and the client's address with it).</summary>
internal enum CaptureMode
{
    /// <summary>NAT to the sidecar's port; needs no privilege of the sidecar.</summary>
    Redirect,

    /// <summary>Handed to the sidecar's transparent socket; the application sees the client's address.</summary>
    Tproxy,
}

/// <summary>Ports from one to another, both included.</summary>
internal readonly record struct PortRange(int First, int Last)
{
    /// <inheritdoc/>
    public override string ToString() => First == Last ? $"{First}" : $"{First}-{Last}";
}

/// <summary>What is to be captured, as the operator says it. Immutable; defaults are those of a workload that has its network namespace for itself.</summary>
internal sealed record CaptureOptions
{
    /// <summary>The IPv6 range of virtual addresses: a unique local prefix whose 40 bits spell "mesh", so that a reader of a trace knows it.</summary>
    public static readonly IPNetwork VirtualV6 = IPNetwork.Parse("fd6d:6573:6800::/48");

    /// <summary>Where everybody looks for DNS servers.</summary>
    public const string DefaultResolvConf = "/etc/resolv.conf";

    /// <summary>The IPv4 range of virtual addresses: class E, which nobody routes.</summary>
    public static readonly IPNetwork VirtualV4 = IPNetwork.Parse("240.0.0.0/4");

    /// <summary>How inbound connections are taken.</summary>
    public CaptureMode Mode { get; init; }

    /// <summary>User the sidecar runs as: what this user sends is left alone.</summary>
    public uint ProxyUid { get; init; } = 1337;

    /// <summary>Group the sidecar runs as, likewise.</summary>
    public uint ProxyGid { get; init; } = 1337;

    /// <summary>Port of the sidecar that takes outbound connections.</summary>
    public int OutboundTo { get; init; } = 15001;

    /// <summary>Port of the sidecar that takes inbound connections.</summary>
    public int InboundTo { get; init; } = 15006;

    /// <summary>Port of the sidecar that answers DNS.</summary>
    public int DnsTo { get; init; } = 15053;

    /// <summary>The sidecar's other ports: admin, metrics, readiness. Of this machine they are never captured, nor are the three above.</summary>
    public ImmutableArray<PortRange> OwnPorts { get; init; } = [new(15000, 15000), new(15020, 15021)];

    /// <summary>Capture inbound connections to these ports only; null: to all, or to none where only some user's or cgroup's traffic is captured.</summary>
    public ImmutableArray<PortRange>? InboundPorts { get; init; }

    /// <summary>Never capture inbound connections to these ports.</summary>
    public ImmutableArray<PortRange> ExcludeInboundPorts { get; init; } = [];

    /// <summary>Capture outbound connections to these ports only; null: to all.</summary>
    public ImmutableArray<PortRange>? OutboundPorts { get; init; }

    /// <summary>Never capture outbound connections to these ports.</summary>
    public ImmutableArray<PortRange> ExcludeOutboundPorts { get; init; } = [];

    /// <summary>Capture outbound connections to these addresses only (virtual addresses always); empty: to all.</summary>
    public ImmutableArray<IPNetwork> IncludeOutboundCidrs { get; init; } = [];

    /// <summary>Never capture outbound connections to these addresses.</summary>
    public ImmutableArray<IPNetwork> ExcludeOutboundCidrs { get; init; } = [];

    /// <summary>Capture what comes or goes by these interfaces only (loopback included always); empty: by all.</summary>
    public ImmutableArray<string> IncludeInterfaces { get; init; } = [];

    /// <summary>Never capture what comes or goes by these interfaces.</summary>
    public ImmutableArray<string> ExcludeInterfaces { get; init; } = [];

    /// <summary>Never capture what these users send.</summary>
    public ImmutableArray<uint> ExcludeUids { get; init; } = [];

    /// <summary>Capture only what these users send: for a host shared with others. Empty: what everybody sends.</summary>
    public ImmutableArray<uint> OnlyUids { get; init; } = [];

    /// <summary>Capture only what the processes of this cgroup (version 2, path below its root) send; null: what everybody sends.</summary>
    public string? Cgroup { get; init; }

    /// <summary>Whether queries to the configured DNS servers are captured.</summary>
    public bool Dns { get; init; } = true;

    /// <summary>Where the DNS servers are named; null when they were given instead.</summary>
    public string? ResolvConf { get; init; } = DefaultResolvConf;

    /// <summary>The DNS servers themselves, read from <see cref="ResolvConf"/> unless given.</summary>
    public ImmutableArray<IPAddress>? Resolvers { get; init; }

    /// <summary>Addresses of services that have none of their own; they get a route, and nothing of them leaves this machine.</summary>
    public ImmutableArray<IPNetwork> VirtualRanges { get; init; } = [VirtualV4, VirtualV6];

    /// <summary>Whether IPv6 is captured; false where the kernel has none.</summary>
    public bool Ipv6 { get; init; } = true;

    /// <summary>True when only a part of this machine's programs is captured.</summary>
    public bool IsPartial => OnlyUids.Length > 0 || Cgroup is not null;

    /// <summary>True when any inbound port is captured.</summary>
    public bool CapturesInbound => InboundPorts is { } ports ? ports.Length > 0 : !IsPartial;

    /// <summary>The ports that captured traffic is brought to.</summary>
    public ImmutableArray<PortRange> CapturePorts => [new(OutboundTo, OutboundTo), new(InboundTo, InboundTo), new(DnsTo, DnsTo)];

    /// <summary>Every port of the sidecar.</summary>
    public ImmutableArray<PortRange> SidecarPorts => [.. OwnPorts, .. CapturePorts];
}
