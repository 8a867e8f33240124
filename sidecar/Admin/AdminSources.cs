using Mesh.Api.Identity;
using Mesh.Api.Logging;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Dns;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Admin;

/// <summary>What the admin surface shows and may do; composed by Program. Immutable; the delegates are called from any thread.</summary>
internal sealed record AdminSources
{
    /// <summary>The configuration that serves.</summary>
    public required Snapshots Snapshots { get; init; }

    /// <summary>Metrics as Prometheus text.</summary>
    public required Exposition Metrics { get; init; }

    /// <summary>The sidecar's own numbers.</summary>
    public required SidecarMetrics Own { get; init; }

    /// <summary>The log whose level can be changed.</summary>
    public required Log Log { get; init; }

    /// <summary>The clock of uptime and ejections.</summary>
    public required TimeProvider Time { get; init; }

    /// <summary>Where the sidecar is in its life.</summary>
    public required Func<Readiness> Readiness { get; init; }

    /// <summary>The xDS resources accepted last, for /config_dump.</summary>
    public Func<IEnumerable<AcceptedResource>> Accepted { get; init; } = () => [];

    /// <summary>The certificates in use, for /certs.</summary>
    public Func<IEnumerable<Credentials>> Certificates { get; init; } = () => [];

    /// <summary>Gets a new certificate now: its serial number, or null and what is in the way. Null where there is no identity to renew.</summary>
    public Func<CancellationToken, Task<(string? Serial, string Problem)>>? RenewCertificate { get; init; }

    /// <summary>The resolver of names, for /dns; null when there is none.</summary>
    public Func<DnsServer?> Dns { get; init; } = () => null;

    /// <summary>Where servers speak first, for /detection.</summary>
    public Func<IEnumerable<LearnedVerdict>> Verdicts { get; init; } = () => [];

    /// <summary>node.id and node.cluster.</summary>
    public (string Id, string Cluster) Node { get; init; } = ("", "");

    /// <summary>The flags the program was started with, secrets left out.</summary>
    public IReadOnlyDictionary<string, string> Flags { get; init; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>Ends the program after a drain.</summary>
    public Action Quit { get; init; } = () => { };

    /// <summary>Takes the workload out of the mesh and drains the inbound listeners; outbound goes on. Completes when they are drained.</summary>
    public Func<Task> DrainListeners { get; init; } = () => Task.CompletedTask;
}

/// <summary>Where the sidecar is in its life.</summary>
/// <param name="State">By Envoy's names: LIVE, DRAINING, PRE_INITIALIZING.</param>
/// <param name="Reason">Why it is not ready; empty when it is.</param>
internal sealed record Readiness(string State, string Reason)
{
    /// <summary>What else there is to say of it, for people; may be empty.</summary>
    public string Note { get; init; } = "";

    /// <summary>Takes traffic.</summary>
    public static Readiness Live { get; } = new("LIVE", "");

    /// <summary>True when it takes traffic.</summary>
    public bool IsReady => State == "LIVE";

    /// <summary>Waits for something.</summary>
    public static Readiness Waiting(string reason) => new("PRE_INITIALIZING", reason);

    /// <summary>On its way out.</summary>
    public static Readiness Draining(string reason) => new("DRAINING", reason);
}

/// <summary>A destination whose server was heard to speak first.</summary>
/// <param name="Direction">outbound or inbound.</param>
/// <param name="Cluster">The cluster its bytes go by.</param>
/// <param name="Address">The address that was meant; empty where the cluster says it all.</param>
/// <param name="Until">When that is forgotten, unless it is heard again.</param>
internal readonly record struct LearnedVerdict(string Direction, string Cluster, string Address, DateTimeOffset Until);
