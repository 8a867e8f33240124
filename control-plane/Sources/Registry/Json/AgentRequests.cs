using System.Text.Json;
using System.Text.Json.Serialization;

namespace Mesh.ControlPlane.Sources.Registry.Json;

/// <summary>A check for the agent to run; with the fields of checks that this registry does not run, so that it can refuse them by name. As it came in.</summary>
internal record AgentCheckRequest
{
    public string? CheckID { get; init; }

    public string? Name { get; init; }

    public string? Status { get; init; }

    public string? Notes { get; init; }

    public TimeSpan? TTL { get; init; }

    public string? HTTP { get; init; }

    public string? Method { get; init; }

    public Dictionary<string, List<string>>? Header { get; init; }

    public string? Body { get; init; }

    public bool? DisableRedirects { get; init; }

    public bool? TLSSkipVerify { get; init; }

    public string? TCP { get; init; }

    public TimeSpan? Interval { get; init; }

    public TimeSpan? Timeout { get; init; }

    public TimeSpan? DeregisterCriticalServiceAfter { get; init; }

    public int? SuccessBeforePassing { get; init; }

    public int? FailuresBeforeWarning { get; init; }

    public int? FailuresBeforeCritical { get; init; }

    public int? OutputMaxSize { get; init; }

    public JsonElement? ScriptArgs { get; init; }

    public JsonElement? H2PING { get; init; }

    public JsonElement? H2PingUseTLS { get; init; }

    public JsonElement? TCPUseTLS { get; init; }

    public JsonElement? UDP { get; init; }

    public JsonElement? GRPC { get; init; }

    public JsonElement? GRPCUseTLS { get; init; }

    public JsonElement? OSService { get; init; }

    public JsonElement? DockerContainerID { get; init; }

    public JsonElement? Shell { get; init; }

    public JsonElement? AliasNode { get; init; }

    public JsonElement? AliasService { get; init; }

    public JsonElement? TLSServerName { get; init; }

    public JsonElement? ProxyHTTP { get; init; }

    public JsonElement? ProxyGRPC { get; init; }
}

/// <summary>PUT agent/check/register. As it came in.</summary>
internal sealed record AgentCheckRegistration : AgentCheckRequest
{
    public string? ID { get; init; }

    public string? ServiceID { get; init; }

    public string? Token { get; init; }
}

/// <summary>PUT agent/service/register. As it came in.</summary>
internal sealed record AgentServiceRegistration
{
    public string? ID { get; init; }

    public string? Name { get; init; }

    public List<string>? Tags { get; init; }

    public string? Address { get; init; }

    public int? Port { get; init; }

    public Dictionary<string, AddressRequest>? TaggedAddresses { get; init; }

    public Dictionary<string, string>? Meta { get; init; }

    public WeightsRequest? Weights { get; init; }

    public bool? EnableTagOverride { get; init; }

    public AgentCheckRequest? Check { get; init; }

    public List<AgentCheckRequest>? Checks { get; init; }

    public string? Token { get; init; }

    public JsonElement? Kind { get; init; }

    public JsonElement? SocketPath { get; init; }

    public JsonElement? Proxy { get; init; }

    public JsonElement? Connect { get; init; }

    public JsonElement? Locality { get; init; }
}

/// <summary>PUT agent/check/update/:id. As it came in.</summary>
internal sealed record CheckUpdateRequest
{
    public string? Status { get; init; }

    public string? Output { get; init; }
}

/// <summary>PUT session/create. As it came in; fields nobody knows are passed over here, as Consul does.</summary>
[JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Skip)]
internal sealed record SessionRequest
{
    public string? Name { get; init; }

    public string? Node { get; init; }

    public string? Behavior { get; init; }

    public string? TTL { get; init; }

    [JsonConverter(typeof(LockDelayConverter))]
    public TimeSpan? LockDelay { get; init; }

    public List<string>? Checks { get; init; }

    public List<string>? NodeChecks { get; init; }

    public List<SessionCheckRequest>? ServiceChecks { get; init; }
}

/// <summary>A check of a service that a session depends on. As it came in.</summary>
[JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Skip)]
internal sealed record SessionCheckRequest
{
    public string? ID { get; init; }
}
