namespace Mesh.Sidecar.Capture;

/// <summary>The programs that can put rules into the kernel.</summary>
internal enum CaptureBackend
{
    /// <summary>nft where it is there and works, else iptables.</summary>
    Auto,

    /// <summary>nftables.</summary>
    Nft,

    /// <summary>iptables and ip6tables.</summary>
    Iptables,
}

/// <summary>What <c>capture show</c> writes.</summary>
internal enum CaptureFormat
{
    /// <summary>For a reader: each rule with its reason.</summary>
    Text,

    /// <summary>Input of <c>nft -f</c>.</summary>
    Nft,

    /// <summary>Input of <c>iptables-restore</c>, then of <c>ip6tables-restore</c>.</summary>
    Iptables,
}
