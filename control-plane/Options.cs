using System.Collections.Immutable;
using Mesh.ControlPlane.Admin.Login;
using Mesh.ControlPlane.Identity;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane;

/// <summary>The control plane's settings, checked. Immutable; made by <see cref="CommandLine"/>.</summary>
internal sealed record Options
{
    /// <summary>Address of Consul, or null to serve the built-in registry.</summary>
    public Uri? Consul { get; init; }

    /// <summary>File with the ACL token for Consul.</summary>
    public string? ConsulTokenFile { get; init; }

    /// <summary>ACL token for Consul from CONSUL_HTTP_TOKEN. Never logged.</summary>
    public string? ConsulToken { get; init; }

    /// <summary>Datacenter to ask Consul for.</summary>
    public string? ConsulDatacenter { get; init; }

    /// <summary>Authorities trusted for TLS to Consul.</summary>
    public string? ConsulCaFile { get; init; }

    /// <summary>Where this control plane keeps its state: the built-in registry's, the authority's keys, the operators' tokens.</summary>
    public required string Data { get; init; }

    /// <summary>Folder of rule files, or null for none.</summary>
    public string? Rules { get; init; }

    /// <summary>Where the mesh API is served over mutual TLS: certificates, xDS, registration, telemetry, and the operators' API for their certificates.</summary>
    public ImmutableArray<ListenAddress> MeshApi { get; init; } = [];

    /// <summary>Certificates: whose authority, how long they live.</summary>
    public IdentityOptions Identity { get; init; } = new();

    /// <summary>Ranges of addresses, and what becomes of calls to destinations nobody knows.</summary>
    public NetworkTerms Network { get; init; } = NetworkTerms.Default;

    /// <summary>Roles of operators that log in with a certificate, by SPIFFE ID.</summary>
    public ImmutableDictionary<string, OperatorRole> OperatorCertificates { get; init; } = ImmutableDictionary<string, OperatorRole>.Empty;

    /// <summary>Where xDS is served in plaintext, to whoever reaches it; usually nowhere.</summary>
    public required ImmutableArray<ListenAddress> Xds { get; init; }

    /// <summary>Where health and metrics are served.</summary>
    public required ListenAddress Health { get; init; }

    /// <summary>Where the operators' API is served.</summary>
    public required ListenAddress Operators { get; init; }

    /// <summary>Where the built-in registry is served.</summary>
    public required ListenAddress Registry { get; init; }

    /// <summary>How long a workload whose stream broke stays registered.</summary>
    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>File that gets the bound addresses as JSON, or null.</summary>
    public string? PortsFile { get; init; }

    /// <summary>Name of this replica among those that share a registry.</summary>
    public required string ReplicaId { get; init; }

    /// <summary>OTLP endpoint for metrics, or null.</summary>
    public Uri? Otlp { get; init; }

    /// <summary>Least level of log lines.</summary>
    public Api.Logging.Level LogLevel { get; init; } = Api.Logging.Level.Info;
}
