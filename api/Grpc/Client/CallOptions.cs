namespace Mesh.Api.Grpc;

/// <summary>What one call asks for beyond its messages. Immutable.</summary>
public readonly record struct CallOptions
{
    /// <summary>After this time the call ends with DEADLINE_EXCEEDED, on both ends; null: never.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>The largest message taken from the server on this call, in bytes; null: what the channel takes.</summary>
    public int? MaxReceiveMessageSize { get; init; }

    /// <summary>Request metadata: lower-case names, printable ASCII values.</summary>
    public IEnumerable<KeyValuePair<string, string>>? Headers { get; init; }
}
