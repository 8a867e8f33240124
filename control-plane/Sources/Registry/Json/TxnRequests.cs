namespace Mesh.ControlPlane.Sources.Registry.Json;

/// <summary>One operation of a transaction: of its four parts the first that is there counts. As it came in.</summary>
internal sealed record TxnOperation
{
    public TxnKv? KV { get; init; }

    public TxnNode? Node { get; init; }

    public TxnService? Service { get; init; }

    public TxnCheck? Check { get; init; }
}

/// <summary>An operation on a key. As it came in.</summary>
internal sealed record TxnKv
{
    public string? Verb { get; init; }

    public string? Key { get; init; }

    public byte[]? Value { get; init; }

    public ulong? Flags { get; init; }

    public ulong? Index { get; init; }

    public string? Session { get; init; }

    public string? Namespace { get; init; }

    public string? Partition { get; init; }
}

/// <summary>An operation on a node. As it came in.</summary>
internal sealed record TxnNode
{
    public string? Verb { get; init; }

    public NodeRequest? Node { get; init; }
}

/// <summary>An operation on a service. As it came in.</summary>
internal sealed record TxnService
{
    public string? Verb { get; init; }

    public string? Node { get; init; }

    public ServiceRequest? Service { get; init; }
}

/// <summary>An operation on a check. As it came in.</summary>
internal sealed record TxnCheck
{
    public string? Verb { get; init; }

    public CheckRequest? Check { get; init; }
}
