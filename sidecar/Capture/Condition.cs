using System.Collections.Immutable;
using System.Net;

namespace Mesh.Sidecar.Capture;

/// <summary>One thing a rule asks of a packet. Immutable; each renderer says all of them in its own language.</summary>
internal abstract record Condition
{
    private Condition()
    {
    }

    /// <summary>TCP.</summary>
    public sealed record IsTcp : Condition;

    /// <summary>Anything but TCP.</summary>
    public sealed record NotTcp : Condition;

    /// <summary>UDP.</summary>
    public sealed record IsUdp : Condition;

    /// <summary>To one of these ports; comes after <see cref="IsTcp"/> or <see cref="IsUdp"/>.</summary>
    public sealed record ToPorts(ImmutableArray<PortRange> Ports) : Condition;

    /// <summary>To an address in one of these networks; makes a rule one of the families that occur in it.</summary>
    public sealed record To(ImmutableArray<IPNetwork> Networks) : Condition;

    /// <summary>From an address in one of these networks.</summary>
    public sealed record From(ImmutableArray<IPNetwork> Networks) : Condition;

    /// <summary>Sent by one of these users.</summary>
    public sealed record Uids(ImmutableArray<uint> Ids) : Condition;

    /// <summary>Sent by this group.</summary>
    public sealed record Gid(uint Id) : Condition;

    /// <summary>Sent by a process of this cgroup or of one below it.</summary>
    public sealed record InCgroup(string Path) : Condition;

    /// <summary>Comes (inbound chains) or goes (outbound chains) by one of these interfaces.</summary>
    public sealed record By(ImmutableArray<string> Interfaces) : Condition;

    /// <summary>Came from a machine elsewhere, by whatever interface; not by lo.</summary>
    public sealed record NotByLoopback : Condition;

    /// <summary>To an address of this machine, or of another.</summary>
    public sealed record ToOwn(bool Yes) : Condition;

    /// <summary>From an address that is not this machine's.</summary>
    public sealed record FromForeign : Condition;

    /// <summary>A TCP segment that opens a connection, or any other.</summary>
    public sealed record Opens(bool Yes) : Condition;

    /// <summary>A rule of NAT gave the connection another destination.</summary>
    public sealed record Redirected : Condition;

    /// <summary>Connection tracking cannot make sense of the packet, or can.</summary>
    public sealed record Invalid(bool Yes) : Condition;

    /// <summary>Goes back to who opened the connection.</summary>
    public sealed record IsReply : Condition;

    /// <summary>Of a connection with this mark, or without it.</summary>
    public sealed record ConnectionMark(uint Mark, bool Yes) : Condition;
}
