using System.Net;

namespace Mesh.ControlPlane.Sources.Registry;

/// <summary>Where the built-in registry listens and what it keeps. Immutable.</summary>
internal sealed record RegistryOptions
{
    /// <summary>A loopback address; port 0 = any free one.</summary>
    public IPEndPoint Address { get; init; } = new(IPAddress.Loopback, 8500);

    /// <summary>The folder its state is kept in; null = in memory only.</summary>
    public string? DataFolder { get; init; }

    public string Datacenter { get; init; } = "dc1";

    /// <summary>The name of the node that services registered here are on.</summary>
    public string NodeName { get; init; } = Environment.MachineName;

    /// <summary>How many requests may wait for a change at a time; more are answered 429.</summary>
    public int MaxWaiters { get; init; } = 16384;
}
