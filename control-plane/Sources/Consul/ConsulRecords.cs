using System.Text.Json.Serialization;

namespace Mesh.ControlPlane.Sources.Consul;

// Consul's JSON as far as it is read. Everything may be missing or null: what is not ours is checked where it is mapped.

/// <summary>An element of <c>GET /v1/health/service/:name</c>.</summary>
internal sealed record HealthEntry(ConsulNode? Node, ConsulService? Service, ConsulCheck[]? Checks);

/// <summary>A node of the catalog.</summary>
internal sealed record ConsulNode
{
    [JsonPropertyName("Node")]
    public string Name { get; init; } = "";

    public string? Address { get; init; }

    public Dictionary<string, string>? Meta { get; init; }

    public ulong ModifyIndex { get; init; }
}

/// <summary>An instance of a service.</summary>
internal sealed record ConsulService
{
    [JsonPropertyName("ID")]
    public string Id { get; init; } = "";

    [JsonPropertyName("Service")]
    public string Name { get; init; } = "";

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Kind { get; init; }

    public string[]? Tags { get; init; }

    public string? Address { get; init; }

    public int Port { get; init; }

    public Dictionary<string, string>? Meta { get; init; }

    public ConsulWeights? Weights { get; init; }

    public ulong ModifyIndex { get; init; }
}

/// <summary>DNS weights of an instance by its state.</summary>
internal sealed record ConsulWeights(int Passing, int Warning);

/// <summary>A health check.</summary>
internal sealed record ConsulCheck
{
    public string Node { get; init; } = "";

    [JsonPropertyName("CheckID")]
    public string Id { get; init; } = "";

    public string? Name { get; init; }

    public string? Notes { get; init; }

    public string? Status { get; init; }

    public string? Output { get; init; }

    [JsonPropertyName("ServiceID")]
    public string? ServiceId { get; init; }

    public string? ServiceName { get; init; }

    public ulong ModifyIndex { get; init; }
}

/// <summary>One operation of a transaction: exactly one member is set.</summary>
internal sealed record TxnOp
{
    public TxnNode? Node { get; init; }

    public TxnService? Service { get; init; }

    public TxnCheck? Check { get; init; }
}

/// <summary>An operation on a node.</summary>
internal sealed record TxnNode(string Verb, ConsulNode Node);

/// <summary>An operation on a service of a node.</summary>
internal sealed record TxnService(string Verb, string Node, ConsulService Service);

/// <summary>An operation on a check.</summary>
internal sealed record TxnCheck(string Verb, ConsulCheck Check);

/// <summary>The answer to a transaction: results or errors, all or nothing.</summary>
internal sealed record TxnAnswer(TxnResult[]? Results, TxnError[]? Errors)
{
    /// <summary>True when all operations took effect.</summary>
    [JsonIgnore]
    public bool Succeeded => Errors is null or [];
}

/// <summary>The result of one operation.</summary>
internal sealed record TxnResult(ConsulNode? Node, ConsulService? Service, ConsulCheck? Check);

/// <summary>Why an operation failed.</summary>
internal sealed record TxnError(int OpIndex, string? What);

/// <summary>An element of <c>GET /v1/kv/...</c>.</summary>
internal sealed record KvPair(string Key, string? Session, ulong ModifyIndex)
{
    /// <summary>The value; null when it is empty.</summary>
    public byte[]? Value { get; init; }
}

/// <summary>Body of <c>PUT /v1/session/create</c>.</summary>
internal sealed record SessionRequest(string Name, [property: JsonPropertyName("TTL")] string Ttl, string Behavior, string LockDelay);

/// <summary>Answer to <c>PUT /v1/session/create</c>.</summary>
internal sealed record SessionId([property: JsonPropertyName("ID")] string Id);

/// <summary>Source-generated (de)serialisation of all of the above.</summary>
[JsonSourceGenerationOptions(DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(Dictionary<string, string[]>))]
[JsonSerializable(typeof(HealthEntry[]))]
[JsonSerializable(typeof(ConsulNode[]))]
[JsonSerializable(typeof(TxnOp[]))]
[JsonSerializable(typeof(TxnAnswer))]
[JsonSerializable(typeof(KvPair[]))]
[JsonSerializable(typeof(string[]))]
[JsonSerializable(typeof(SessionRequest))]
[JsonSerializable(typeof(SessionId))]
[JsonSerializable(typeof(SessionRenewal[]))]
[JsonSerializable(typeof(ReplicaRecord))]
[JsonSerializable(typeof(bool))]
internal sealed partial class ConsulJson : JsonSerializerContext;

/// <summary>An element of the answer to <c>PUT /v1/session/renew/:id</c>.</summary>
internal sealed record SessionRenewal([property: JsonPropertyName("ID")] string Id);

/// <summary>What a replica writes at its key: for people who look.</summary>
internal sealed record ReplicaRecord(string Replica, DateTimeOffset Started);
