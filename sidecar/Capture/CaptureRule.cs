using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;

namespace Mesh.Sidecar.Capture;

/// <summary>What becomes of a packet that meets all conditions of a rule.</summary>
internal enum Verdict
{
    /// <summary>The chain ends: the packet goes where it was going.</summary>
    Leave,

    /// <summary>The connection goes to a port of the sidecar.</summary>
    Redirect,

    /// <summary>The packet goes to a transparent socket of the sidecar.</summary>
    Tproxy,

    /// <summary>Answered with a TCP reset.</summary>
    Refuse,

    /// <summary>Answered with "prohibited".</summary>
    Reject,

    /// <summary>Dropped.</summary>
    Drop,

    /// <summary>The connection is marked, and the chain goes on.</summary>
    MarkConnection,

    /// <summary>The packet is marked, and the chain goes on.</summary>
    MarkPacket,
}

/// <summary>One rule with the reason why it is there. Immutable.</summary>
/// <param name="Conditions">All must hold.</param>
/// <param name="Verdict">What happens then.</param>
/// <param name="Value">Port or mark of the verdict, else 0.</param>
/// <param name="Reason">Why, in at most 128 characters: nftables takes no longer comments.</param>
internal sealed record CaptureRule(ImmutableArray<Condition> Conditions, Verdict Verdict, uint Value, string Reason);

/// <summary>The table a chain belongs to, in the words of iptables.</summary>
internal enum CaptureTable
{
    /// <summary>Rewrites destinations; sees the first packet of a connection only.</summary>
    Nat,

    /// <summary>Before routing; marks and hands over to sockets.</summary>
    Mangle,

    /// <summary>Lets pass or refuses, after NAT.</summary>
    Filter,
}

/// <summary>Where a chain sees packets.</summary>
internal enum CaptureHook
{
    /// <summary>What comes in, before it is decided where it goes.</summary>
    Prerouting,

    /// <summary>What comes in for this machine.</summary>
    Input,

    /// <summary>What programs of this machine send.</summary>
    Output,
}

/// <summary>Rules in their order: the first that ends the chain wins; what no rule ends is left alone.</summary>
internal sealed record CaptureChain(string Name, CaptureTable Table, CaptureHook Hook, ImmutableArray<CaptureRule> Rules);

/// <summary>A route the rules need.</summary>
/// <param name="Network">What it is for; a default route of its family for <paramref name="IsForAnswers"/>.</param>
/// <param name="IsForAnswers">In the table of marked answers, else in the main table.</param>
/// <param name="Reason">Why.</param>
internal sealed record CaptureRoute(IPNetwork Network, bool IsForAnswers, string Reason)
{
    /// <summary>Its name for the operator.</summary>
    public string Name => IsForAnswers ? $"routing rule for mark 0x{CapturePlan.TransparentMark:x} and default route ({(Network.BaseAddress.AddressFamily == AddressFamily.InterNetwork ? "IPv4" : "IPv6")})" : $"route {Network} dev lo";

    /// <summary>Whether it is the same, for whatever reason.</summary>
    public bool IsSame(CaptureRoute other) => Network == other.Network && IsForAnswers == other.IsForAnswers;
}
