namespace Mesh.Cli.Running;

/// <summary>What <c>meshctl run</c> was asked for. Immutable.</summary>
internal sealed record RunOptions
{
    /// <summary>The command line of the child.</summary>
    public required IReadOnlyList<string> Command { get; init; }

    /// <summary>The sidecar's program file, found already.</summary>
    public required string Sidecar { get; init; }

    /// <summary>The service the child is an instance of.</summary>
    public required string Service { get; init; }

    /// <summary>The child's ports, as <c>PORT[:PROTOCOL[:NAME]]</c>.</summary>
    public IReadOnlyList<string> Ports { get; init; } = [];

    /// <summary>Explicit upstreams, as <c>SERVICE=ADDRESS:PORT[:PROTOCOL]</c>.</summary>
    public IReadOnlyList<string> Upstreams { get; init; } = [];

    /// <summary>How the sidecar reaches the control plane and proves who it is.</summary>
    public required Joining Joining { get; init; }

    /// <summary>Whose traffic is captured, and how; null: the child is told to use its sidecar as a proxy.</summary>
    public CaptureTerms? Capture { get; init; }

    /// <summary>Flags handed to the sidecar as they are.</summary>
    public IReadOnlyList<string> SidecarFlags { get; init; } = [];

    /// <summary>Where the sidecar's log goes; null: to stderr, each line marked.</summary>
    public string? SidecarLog { get; init; }

    /// <summary>How long the sidecar may take to become ready.</summary>
    public TimeSpan ReadyTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>On a stop: how long leaving the mesh may take before the child is told to end.</summary>
    public TimeSpan StopDelay { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long the sidecar may take to drain and exit.</summary>
    public TimeSpan DrainTime { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The first of <see cref="Ports"/>, its number alone; null when there is none.</summary>
    public string? FirstPort => Ports.Count > 0 ? Ports[0].Split(':')[0] : null;
}
