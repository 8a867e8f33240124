using System.Collections.Immutable;
using System.Net;
using Mesh.Api.Logging;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar;

/// <summary>What the program was told to be. Immutable; made by <see cref="FlagParser"/>, which has checked it.</summary>
internal sealed record Flags
{
    /// <summary>Address of the control plane, or null with <see cref="Static"/>.</summary>
    public string? ControlPlane { get; init; }

    /// <summary>True when the control plane is reached over mutual TLS.</summary>
    public bool IsSecured { get; init; }

    /// <summary>Address of the control plane with its scheme.</summary>
    public string ControlPlaneUrl => IsSecured && !ControlPlane!.Contains("://", StringComparison.Ordinal) ? "https://" + ControlPlane : ControlPlane!;

    /// <summary>File with the join token, or null.</summary>
    public string? TokenFile { get; init; }

    /// <summary>File with the mesh's roots by which the control plane is known, or null: the join token pins one.</summary>
    public string? CaFile { get; init; }

    /// <summary>Folder in which the identity outlives a restart, or null.</summary>
    public string? IdentityDir { get; init; }

    /// <summary>Folder with the last good configuration, or null.</summary>
    public string? StateDir { get; init; }

    /// <summary>File with a Kubernetes service-account token, or null.</summary>
    public string? KubeTokenFile { get; init; }

    /// <summary>Trust domain where no token says it.</summary>
    public string TrustDomain { get; init; } = "cluster.local";

    /// <summary>Unix socket on which others of this user get the same identity (SDS), or null.</summary>
    public string? Sds { get; init; }

    /// <summary>How long a TCP connection may live; zero is for ever.</summary>
    public TimeSpan MaxConnectionAge { get; init; }

    /// <summary>File of resources, or null with <see cref="ControlPlane"/>.</summary>
    public string? Static { get; init; }

    /// <summary>Service of the workload; empty when it only calls.</summary>
    public string Service { get; init; } = "";

    /// <summary>Namespace of the workload.</summary>
    public string Namespace { get; init; } = "default";

    /// <summary>Version label.</summary>
    public string Version { get; init; } = "";

    /// <summary>Workload ID; empty makes one.</summary>
    public string Workload { get; init; } = "";

    /// <summary>Advertised address; null is loopback, or when captured the machine's own.</summary>
    public string? Address { get; init; }

    /// <summary>Zone.</summary>
    public string Zone { get; init; } = "";

    /// <summary>Labels.</summary>
    public ImmutableSortedDictionary<string, string> Labels { get; init; } = ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal);

    /// <summary>The application's ports.</summary>
    public ImmutableArray<PortFlag> Ports { get; init; } = [];

    /// <summary>Where each port's traffic is taken, in the order of <see cref="Ports"/>; the rest get free ports.</summary>
    public ImmutableArray<IPEndPoint> Inbound { get; init; } = [];

    /// <summary>Outbound listener; null is none.</summary>
    public IPEndPoint? Outbound { get; init; } = new(IPAddress.Loopback, 15001);

    /// <summary>How traffic is captured; null for not at all.</summary>
    public CaptureMode? Capture { get; init; }

    /// <summary>Port that takes captured inbound traffic, on every address.</summary>
    public int InboundCapture { get; init; } = 15006;

    /// <summary>True when only inbound traffic to <see cref="Ports"/> is captured.</summary>
    public bool DeclaredOnly { get; init; }

    /// <summary>DNS server; null is the default (with capture on loopback, else none), empty is none.</summary>
    public ImmutableArray<IPEndPoint>? Dns { get; init; }

    /// <summary>Explicit upstreams.</summary>
    public ImmutableArray<UpstreamFlag> Upstreams { get; init; } = [];

    /// <summary>Admin; null is none.</summary>
    public IPEndPoint? Admin { get; init; } = new(IPAddress.Loopback, 15000);

    /// <summary>Metrics; null is none.</summary>
    public IPEndPoint? Metrics { get; init; } = new(IPAddress.Loopback, 15020);

    /// <summary>Readiness; null is none.</summary>
    public IPEndPoint? Readiness { get; init; } = new(IPAddress.Loopback, 15021);

    /// <summary>File the bound ports are written to, or null.</summary>
    public string? PortsFile { get; init; }

    /// <summary>What the access log holds.</summary>
    public AccessLogMode AccessLog { get; init; } = AccessLogMode.Errors;

    /// <summary>How it is written.</summary>
    public AccessLogFormat AccessLogFormat { get; init; } = AccessLogFormat.Text;

    /// <summary>OTLP endpoint, or null.</summary>
    public string? Otlp { get; init; }

    /// <summary>Bound of a graceful stop.</summary>
    public TimeSpan DrainTime { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>True asks for every service.</summary>
    public bool DiscoverAll { get; init; } = true;

    /// <summary>Least level of the log.</summary>
    public Level LogLevel { get; init; } = Level.Info;

    /// <summary>Path of the application's HTTP health check; null checks only which ports accept.</summary>
    public string? HealthPath { get; init; }

    /// <summary>Threads that wait for sockets; 0 leaves it to the runtime: one a processor.</summary>
    public int Workers { get; init; }
}

/// <summary>A port of the application, as written: <c>8080:http:web</c>.</summary>
internal sealed record PortFlag(int Port, string Protocol, string Name);

/// <summary>An explicit upstream, as written: <c>db:5432=127.0.0.1:9191:tcp</c>.</summary>
internal sealed record UpstreamFlag(string Service, int? Port, IPEndPoint Listen, string Protocol);
