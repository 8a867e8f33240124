namespace Mesh.Api.Grpc;

/// <summary>What the methods mapped with it have in common. Immutable.</summary>
public sealed record GrpcServerOptions
{
    /// <summary>The largest message taken from a client, in bytes.</summary>
    public int MaxReceiveMessageSize { get; init; } = MessageFraming.DefaultMaxMessageSize;

    /// <summary>The clock deadlines run on.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
