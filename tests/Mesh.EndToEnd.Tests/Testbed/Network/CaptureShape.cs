namespace Mesh.EndToEnd.Tests.Testbed.Network;

/// <summary>How a workload of a test is captured.</summary>
internal sealed record CaptureShape
{
    /// <summary>Inbound by <c>redirect</c> or <c>tproxy</c>.</summary>
    public string Mode { get; init; } = "redirect";

    /// <summary>Rules by <c>nft</c> or <c>iptables</c>.</summary>
    public string Backend { get; init; } = "nft";

    /// <summary>The application's ports, as <c>8080[:protocol[:name]]</c>.</summary>
    public string[] Ports { get; init; } = [];

    /// <summary>The account it proves; null: the service's name.</summary>
    public string? Account { get; init; }

    /// <summary>False: its join token grants it no address, so that connections have to prove each.</summary>
    public bool IsGranted { get; init; } = true;

    /// <summary>Addresses of the control plane's machine by which this one knows it, as the name <c>control</c>; empty: the usual one, without a name.</summary>
    public string[] ControlPlane { get; init; } = [];

    /// <summary>More flags of the sidecar.</summary>
    public string[] More { get; init; } = [];

    /// <summary>More options of <c>capture install</c>.</summary>
    public string[] Rules { get; init; } = [];

    /// <summary>True when the sidecar keeps its last good configuration for its next start.</summary>
    public bool KeepsState { get; init; }

    /// <summary>True when others reach it by its IPv6 address.</summary>
    public bool IsV6 { get; init; }

    /// <summary>The server in its resolv.conf; null: what this machine has.</summary>
    public string? Resolver { get; init; }

    /// <summary>The LAN it is in.</summary>
    public int Lan { get; init; }
}
