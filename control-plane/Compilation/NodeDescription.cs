using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using Envoy.Config.Core.V3;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Compilation;

/// <summary>Who asks for configuration: the ADS node with its <c>metadata["mesh"]</c>, parsed and checked. Immutable, compared by value where cheap.</summary>
internal sealed record NodeDescription
{
    /// <summary>Node id, <c>sidecar~127.0.0.1~web-1~default</c>.</summary>
    public required string Id { get; init; }

    /// <summary>Which dialect of xDS it gets.</summary>
    public EmitterKind Emitter { get; init; }

    /// <summary>user_agent_name and version, for operators.</summary>
    public string UserAgent { get; init; } = "";

    /// <summary>Service of the workload; empty when it serves none.</summary>
    public string Service { get; init; } = "";

    /// <summary>Namespace of the workload.</summary>
    public string Namespace { get; init; } = ServiceName.DefaultNamespace;

    /// <summary>Version label.</summary>
    public string Version { get; init; } = "";

    /// <summary>Workload id or name.</summary>
    public string Workload { get; init; } = "";

    /// <summary>Zone from the node's locality.</summary>
    public string Zone { get; init; } = "";

    /// <summary>Labels, <c>app</c> and <c>version</c> included: what policies select the workload by.</summary>
    public ImmutableSortedDictionary<string, string> Labels { get; init; } = ImmutableSortedDictionary<string, string>.Empty;

    /// <summary>The SPIFFE ID it proved when it connected; null when it did not. Never from what it says of itself.</summary>
    public string? Identity { get; init; }

    /// <summary>True when a gRPC library has certificates under the provider instance <c>default</c> of its bootstrap.</summary>
    public bool HasCertificates { get; init; }

    /// <summary>Ports of the application with the sockets that stand before them.</summary>
    public ImmutableArray<NodePort> Ports { get; init; } = [];

    /// <summary>Address of the outbound listener; null for none.</summary>
    public HostPort? Outbound { get; init; }

    /// <summary>Where its captured traffic arrives; null when nothing is captured.</summary>
    public NodeCapture? Capture { get; init; }

    /// <summary>Explicit upstream listeners.</summary>
    public ImmutableArray<NodeUpstream> Upstreams { get; init; } = [];

    /// <summary>True: every service; false: only what <see cref="Upstreams"/> name.</summary>
    public bool DiscoverAll { get; init; } = true;

    /// <summary>True when every service belongs to its configuration: it discovers all and has an outbound listener to use them.</summary>
    public bool SeesEverything => DiscoverAll && Outbound is not null;

    /// <summary>True for Envoy itself.</summary>
    public bool IsEnvoy => UserAgent.StartsWith("envoy", StringComparison.OrdinalIgnoreCase);

    /// <summary>True for this mesh's own sidecar.</summary>
    public bool IsMeshSidecar => UserAgent.StartsWith("mesh-sidecar", StringComparison.Ordinal);

    /// <summary>The address at which all its inbound traffic is captured, by its id; null when it is not, or not on all ports.</summary>
    public IPAddress? Captured => Capture is { Inbound.IsEmpty: false, DeclaredOnly: false } && Id.Split('~') is [_, var text, _, _] && IPAddress.TryParse(text, out var address)
        ? address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address
        : null;

    /// <summary>What policies select it by.</summary>
    public WorkloadTraits Traits => new(Namespace, Service, Labels);

    /// <summary>Parses an ADS node; false with an error that says which field is wrong.</summary>
    public static bool TryParse(Node node, [NotNullWhen(true)] out NodeDescription? description, out string error) =>
        NodeReader.TryRead(node, out description, out error);
}

/// <summary>A dialect of xDS.</summary>
internal enum EmitterKind
{
    /// <summary>Our sidecar and Envoy.</summary>
    Sidecar,

    /// <summary>gRPC libraries without a proxy.</summary>
    Grpc,
}

/// <summary>An IP address and a port.</summary>
internal sealed record HostPort(string Address, int Port)
{
    /// <summary>True for IPv6.</summary>
    public bool IsV6 => Address.Contains(':', StringComparison.Ordinal);

    /// <inheritdoc/>
    public override string ToString() => Address.Contains(':', StringComparison.Ordinal) ? $"[{Address}]:{Port}" : $"{Address}:{Port}";
}

/// <summary>A port of the node's application.</summary>
/// <param name="Port">The application's port.</param>
/// <param name="Name">Its name, may be empty.</param>
/// <param name="Protocol">What is spoken there.</param>
/// <param name="Listen">The bound socket in front of it; null when inbound traffic is captured.</param>
internal sealed record NodePort(int Port, string Name, AppProtocol Protocol, HostPort? Listen);

/// <summary>Sockets that take a node's captured traffic, at most one of each family in a list.</summary>
/// <param name="Transparent">True when inbound traffic arrives by TPROXY, with its addresses as they were.</param>
/// <param name="Outbound">For the application's calls, on loopback; empty when those are not captured.</param>
/// <param name="Inbound">For calls to the application; empty when those are not captured.</param>
/// <param name="Dns">True when it answers the application's DNS queries.</param>
internal sealed record NodeCapture(bool Transparent, ImmutableArray<HostPort> Outbound, ImmutableArray<HostPort> Inbound, bool Dns)
{
    /// <summary>True when only calls to its declared ports are taken: the rest of its address is others' on the same machine.</summary>
    public bool DeclaredOnly { get; init; }
}

/// <summary>An explicit upstream of a node.</summary>
/// <param name="Service">The service as written.</param>
/// <param name="Port">Its port, or null for the service's first.</param>
/// <param name="Listen">The bound socket.</param>
/// <param name="Protocol">What is spoken there, or null for what the service's port says.</param>
internal sealed record NodeUpstream(string Service, int? Port, HostPort Listen, AppProtocol? Protocol);
