using System.Text.Json.Serialization;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Json;

/// <summary>A node as the catalog answers it.</summary>
internal sealed record NodeAnswer(
    string ID,
    string Node,
    string Address,
    string Datacenter,
    IReadOnlyDictionary<string, string> TaggedAddresses,
    IReadOnlyDictionary<string, string> Meta,
    ulong CreateIndex,
    ulong ModifyIndex);

/// <summary>A part of Consul's answers that says nothing here but that clients expect to be there.</summary>
internal sealed record EmptyAnswer
{
    public static readonly EmptyAnswer Value = new();
}

/// <summary>A service on a node as catalog/node and health/service answer it.</summary>
internal sealed record ServiceAnswer
{
    public required string ID { get; init; }

    public required string Service { get; init; }

    public required IReadOnlyList<string> Tags { get; init; }

    public required string Address { get; init; }

    public IReadOnlyDictionary<string, ServiceAddress>? TaggedAddresses { get; init; }

    public required IReadOnlyDictionary<string, string> Meta { get; init; }

    public required int Port { get; init; }

    public required ServiceWeights Weights { get; init; }

    public bool EnableTagOverride { get; init; }

    public EmptyAnswer Proxy => EmptyAnswer.Value;

    public EmptyAnswer Connect => EmptyAnswer.Value;

    public string PeerName => "";

    public ulong CreateIndex { get; init; }

    public ulong ModifyIndex { get; init; }
}

/// <summary>An instance with its node, flattened as catalog/service answers it.</summary>
internal sealed record InstanceAnswer
{
    public required string ID { get; init; }

    public required string Node { get; init; }

    public required string Address { get; init; }

    public required string Datacenter { get; init; }

    public required IReadOnlyDictionary<string, string> TaggedAddresses { get; init; }

    public required IReadOnlyDictionary<string, string> NodeMeta { get; init; }

    public string ServiceKind => "";

    public required string ServiceID { get; init; }

    public required string ServiceName { get; init; }

    public required IReadOnlyList<string> ServiceTags { get; init; }

    public required string ServiceAddress { get; init; }

    public IReadOnlyDictionary<string, ServiceAddress>? ServiceTaggedAddresses { get; init; }

    public required ServiceWeights ServiceWeights { get; init; }

    public required IReadOnlyDictionary<string, string> ServiceMeta { get; init; }

    public required int ServicePort { get; init; }

    public string ServiceSocketPath => "";

    public bool ServiceEnableTagOverride { get; init; }

    public EmptyAnswer ServiceProxy => EmptyAnswer.Value;

    public EmptyAnswer ServiceConnect => EmptyAnswer.Value;

    public ulong CreateIndex { get; init; }

    public ulong ModifyIndex { get; init; }
}

/// <summary>The state of a check.</summary>
internal sealed record CheckAnswer(
    string Node,
    string CheckID,
    string Name,
    string Status,
    string Notes,
    string Output,
    string ServiceID,
    string ServiceName,
    IReadOnlyList<string> ServiceTags,
    string Type,
    string Interval,
    string Timeout,
    ulong CreateIndex,
    ulong ModifyIndex)
{
    public int ExposedPort => 0;

    public EmptyAnswer Definition => EmptyAnswer.Value;
}

/// <summary>An instance with its node and checks, as health/service answers it.</summary>
internal sealed record HealthAnswer(NodeAnswer Node, ServiceAnswer Service, IReadOnlyList<CheckAnswer> Checks);

/// <summary>A node with its services, as catalog/node answers it.</summary>
internal sealed record NodeServicesAnswer(NodeAnswer Node, IReadOnlyDictionary<string, ServiceAnswer> Services);

/// <summary>A service that was registered with this agent.</summary>
internal sealed record AgentServiceAnswer
{
    public required string ID { get; init; }

    public required string Service { get; init; }

    public required IReadOnlyList<string> Tags { get; init; }

    public required IReadOnlyDictionary<string, string> Meta { get; init; }

    public required int Port { get; init; }

    public required string Address { get; init; }

    public IReadOnlyDictionary<string, ServiceAddress>? TaggedAddresses { get; init; }

    public required ServiceWeights Weights { get; init; }

    public bool EnableTagOverride { get; init; }

    public string? ContentHash { get; init; }

    public required string Datacenter { get; init; }
}

/// <summary>A key with its value in base64; null for an empty one.</summary>
internal sealed record KvAnswer(
    ulong LockIndex, string Key, ulong Flags, [property: JsonIgnore(Condition = JsonIgnoreCondition.Never)] byte[]? Value, string? Session, ulong CreateIndex, ulong ModifyIndex);

/// <summary>A session; its lock delay in nanoseconds.</summary>
internal sealed record SessionAnswer(
    string ID, string Name, string Node, long LockDelay, string Behavior, string TTL, IReadOnlyList<string> NodeChecks, IReadOnlyList<SessionCheckAnswer>? ServiceChecks, ulong CreateIndex, ulong ModifyIndex);

/// <summary>A check of a service that a session depends on.</summary>
internal sealed record SessionCheckAnswer(string ID, string Namespace);

/// <summary>The name of a new session.</summary>
internal sealed record SessionIdAnswer(string ID);

/// <summary>What is wrong with one operation of a transaction.</summary>
internal sealed record TxnErrorAnswer(int OpIndex, string What);

/// <summary>What one operation of a transaction read or wrote.</summary>
internal sealed record TxnResultAnswer
{
    public KvAnswer? KV { get; init; }

    public NodeAnswer? Node { get; init; }

    public ServiceAnswer? Service { get; init; }

    public CheckAnswer? Check { get; init; }
}

/// <summary>The outcome of a transaction: results of all operations, or errors and nothing done.</summary>
internal sealed record TxnAnswer(
    [property: JsonIgnore(Condition = JsonIgnoreCondition.Never)] IReadOnlyList<TxnResultAnswer>? Results,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.Never)] IReadOnlyList<TxnErrorAnswer>? Errors);

/// <summary>Who the agent is, for clients that look at its version.</summary>
internal sealed record SelfAnswer(SelfConfigAnswer Config, MemberAnswer Member, IReadOnlyDictionary<string, string> Meta)
{
    public EmptyAnswer DebugConfig => EmptyAnswer.Value;

    public EmptyAnswer Stats => EmptyAnswer.Value;
}

/// <summary>The part of agent/self that clients read.</summary>
internal sealed record SelfConfigAnswer(string Datacenter, string NodeName, string NodeID, string Version, string Revision)
{
    public string PrimaryDatacenter => Datacenter;

    public bool Server => true;
}

/// <summary>A member of the cluster: there is this one.</summary>
internal sealed record MemberAnswer(string Name, string Addr, int Port, IReadOnlyDictionary<string, string> Tags)
{
    /// <summary>Alive.</summary>
    public int Status => 1;

    public int ProtocolMin => 1;

    public int ProtocolMax => 5;

    public int ProtocolCur => 2;

    public int DelegateMin => 2;

    public int DelegateMax => 5;

    public int DelegateCur => 4;
}
