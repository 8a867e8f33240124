using System.Text.Json;

namespace Mesh.ControlPlane.Sources.Registry.Json;

/// <summary>A service's address under a name. As it came in.</summary>
internal sealed record AddressRequest
{
    public string? Address { get; init; }

    public int? Port { get; init; }
}

/// <summary>The weights of an instance. As they came in.</summary>
internal sealed record WeightsRequest
{
    public int? Passing { get; init; }

    public int? Warning { get; init; }
}

/// <summary>A node in a transaction. As it came in.</summary>
internal sealed record NodeRequest
{
    public string? ID { get; init; }

    public string? Node { get; init; }

    public string? Address { get; init; }

    public string? Datacenter { get; init; }

    public Dictionary<string, string>? TaggedAddresses { get; init; }

    public Dictionary<string, string>? Meta { get; init; }

    public ulong? CreateIndex { get; init; }

    public ulong? ModifyIndex { get; init; }

    public JsonElement? Locality { get; init; }

    public JsonElement? Partition { get; init; }

    public JsonElement? PeerName { get; init; }
}

/// <summary>A service on a node, in catalog/register and in a transaction. As it came in.</summary>
internal sealed record ServiceRequest
{
    public string? ID { get; init; }

    public string? Service { get; init; }

    public List<string>? Tags { get; init; }

    public string? Address { get; init; }

    public Dictionary<string, AddressRequest>? TaggedAddresses { get; init; }

    public Dictionary<string, string>? Meta { get; init; }

    public int? Port { get; init; }

    public WeightsRequest? Weights { get; init; }

    public bool? EnableTagOverride { get; init; }

    public ulong? CreateIndex { get; init; }

    public ulong? ModifyIndex { get; init; }

    public string? ContentHash { get; init; }

    public string? Datacenter { get; init; }

    public JsonElement? Kind { get; init; }

    public JsonElement? SocketPath { get; init; }

    public JsonElement? Proxy { get; init; }

    public JsonElement? Connect { get; init; }

    public JsonElement? Locality { get; init; }

    public JsonElement? Namespace { get; init; }

    public JsonElement? Partition { get; init; }

    public JsonElement? PeerName { get; init; }
}

/// <summary>The state of a check, in catalog/register and in a transaction. As it came in.</summary>
internal sealed record CheckRequest
{
    public string? Node { get; init; }

    public string? CheckID { get; init; }

    public string? Name { get; init; }

    public string? Status { get; init; }

    public string? Notes { get; init; }

    public string? Output { get; init; }

    public string? ServiceID { get; init; }

    public string? ServiceName { get; init; }

    public List<string>? ServiceTags { get; init; }

    public string? Type { get; init; }

    public string? Interval { get; init; }

    public string? Timeout { get; init; }

    public int? ExposedPort { get; init; }

    public ulong? CreateIndex { get; init; }

    public ulong? ModifyIndex { get; init; }

    /// <summary>What a tool of Consul's would run; taken and not kept: the catalog runs nothing.</summary>
    public JsonElement? Definition { get; init; }

    public JsonElement? Namespace { get; init; }

    public JsonElement? Partition { get; init; }

    public JsonElement? PeerName { get; init; }
}

/// <summary>PUT catalog/register. As it came in.</summary>
internal sealed record RegisterRequest
{
    public string? Datacenter { get; init; }

    public string? ID { get; init; }

    public string? Node { get; init; }

    public string? Address { get; init; }

    public Dictionary<string, string>? TaggedAddresses { get; init; }

    public Dictionary<string, string>? NodeMeta { get; init; }

    public ServiceRequest? Service { get; init; }

    public CheckRequest? Check { get; init; }

    public List<CheckRequest>? Checks { get; init; }

    public bool? SkipNodeUpdate { get; init; }

    public JsonElement? Locality { get; init; }

    public JsonElement? PeerName { get; init; }

    public JsonElement? WriteRequest { get; init; }
}

/// <summary>PUT catalog/deregister. As it came in.</summary>
internal sealed record DeregisterRequest
{
    public string? Datacenter { get; init; }

    public string? Node { get; init; }

    public string? Address { get; init; }

    public string? ServiceID { get; init; }

    public string? CheckID { get; init; }

    public JsonElement? PeerName { get; init; }

    public JsonElement? WriteRequest { get; init; }
}
