using System.Collections.Immutable;
using System.Net;
using Mesh.Sidecar.Balancing;

namespace Mesh.Sidecar.Config;

/// <summary>What this sidecar stands beside, with the sockets it has bound for it. Immutable, made once at start.</summary>
internal sealed record Workload
{
    /// <summary>Unique in the mesh and stable for the life of the process.</summary>
    public required string Id { get; init; }

    /// <summary>The service it belongs to; empty for one that only calls.</summary>
    public string Service { get; init; } = "";

    /// <summary>Namespace.</summary>
    public string Namespace { get; init; } = "default";

    /// <summary>Version label, may be empty.</summary>
    public string Version { get; init; } = "";

    /// <summary>The address others reach it by.</summary>
    public string Address { get; init; } = "127.0.0.1";

    /// <summary>Zone, may be empty.</summary>
    public string Zone { get; init; } = "";

    /// <summary>Labels.</summary>
    public ImmutableSortedDictionary<string, string> Labels { get; init; } = ImmutableSortedDictionary<string, string>.Empty;

    /// <summary>Ports of the application.</summary>
    public ImmutableArray<WorkloadPort> Ports { get; init; } = [];

    /// <summary>Where the application's outbound traffic is taken; null when it is not.</summary>
    public IPEndPoint? Outbound { get; init; }

    /// <summary>How its traffic is captured by rules of the kernel; null when the application is told of its sidecar.</summary>
    public WorkloadCapture? Capture { get; init; }

    /// <summary>Explicit upstream listeners.</summary>
    public ImmutableArray<WorkloadUpstream> Upstreams { get; init; } = [];

    /// <summary>True asks for every service, false only for the declared upstreams.</summary>
    public bool DiscoverAll { get; init; } = true;

    /// <summary>The group of equal processes it belongs to, for metrics.</summary>
    public string Group => Service.Length == 0 ? Id : Version.Length == 0 ? Service : $"{Service}-{Version}";

    /// <summary>The ADS node id.</summary>
    public string NodeId => $"sidecar~{Address}~{Id}~{Namespace}";

    /// <summary>
    /// Where the application itself accepts a port: on loopback, or, when captured, on the address its peers send to. An application that
    /// listens on one address only is served there and nowhere else, as without a sidecar.
    /// </summary>
    public IPEndPoint Application(WorkloadPort port) => new(Capture is null ? IPAddress.Loopback : IPAddress.Parse(Address), port.Port);

    /// <summary>What metrics call it.</summary>
    public PeerLabels Peer() => new(Group, Namespace, Service.Length == 0 ? "unknown" : Service, Version.Length == 0 ? "unknown" : Version);
}

/// <summary>A port of the application.</summary>
/// <param name="Port">The application's own port.</param>
/// <param name="Name">Its name.</param>
/// <param name="Protocol">http, http2, grpc, tcp, or empty for detection.</param>
/// <param name="Listen">The socket that takes its traffic; null when captured: peers dial the application's own port.</param>
internal sealed record WorkloadPort(int Port, string Name, string Protocol, IPEndPoint? Listen);

/// <summary>A listener for one service.</summary>
/// <param name="Service">The service as written.</param>
/// <param name="Port">Its port; null for its first.</param>
/// <param name="Protocol">What is spoken there; empty for what the service says.</param>
/// <param name="Listen">The socket.</param>
internal sealed record WorkloadUpstream(string Service, int? Port, string Protocol, IPEndPoint Listen);

/// <summary>Where captured traffic is taken, each list with a socket for each family of addresses the machine has, IPv4 first.</summary>
/// <param name="Mode">How inbound traffic gets here.</param>
/// <param name="Outbound">The application's calls.</param>
/// <param name="Inbound">Calls to the application.</param>
/// <param name="Dns">Its DNS queries, over UDP and TCP; empty when they are left alone.</param>
internal sealed record WorkloadCapture(CaptureMode Mode, ImmutableArray<IPEndPoint> Outbound, ImmutableArray<IPEndPoint> Inbound, ImmutableArray<IPEndPoint> Dns)
{
    /// <summary>True when only calls to the workload's declared ports are taken: the rest of its address is others' on the same machine.</summary>
    public bool DeclaredOnly { get; init; }
}


/// <summary>How inbound traffic is captured.</summary>
internal enum CaptureMode
{
    /// <summary>By REDIRECT: the application sees the sidecar's address.</summary>
    Redirect,

    /// <summary>By TPROXY: the application sees its peer's address.</summary>
    Tproxy,
}
