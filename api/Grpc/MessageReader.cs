using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using Google.Protobuf;

namespace Mesh.Api.Grpc;

/// <summary>
/// The messages that arrive on one direction of a server's call. For one reader at a time; lives as long as the call, whose
/// cancellation ends every read.
/// </summary>
public sealed class MessageReader<T>
    where T : class, IMessage<T>
{
    private readonly PipeReader _input;
    private readonly MessageParser<T> _parser;
    private readonly int _maxSize;

    internal MessageReader(PipeReader input, MessageParser<T> parser, int maxSize) =>
        (_input, _parser, _maxSize) = (input, parser, maxSize);

    /// <summary>The next message, or null when the sender has half-closed.</summary>
    public ValueTask<T?> ReadAsync(CancellationToken cancellation) => MessageFraming.ReadAsync(_input, _parser, _maxSize, cancellation);

    /// <summary>All messages until the sender half-closes.</summary>
    public async IAsyncEnumerable<T> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        while (await ReadAsync(cancellation) is { } message)
            yield return message;
    }

    /// <summary>The one message of a call whose sender sends exactly one.</summary>
    internal async Task<T> ReadOnlyAsync(CancellationToken cancellation)
    {
        var message = await ReadAsync(cancellation)
            ?? throw new GrpcException(GrpcStatusCode.Internal, "the caller half-closed without sending its message");
        if (await ReadAsync(cancellation) is not null)
            throw new GrpcException(GrpcStatusCode.Internal, "the caller sent a second message on a call that takes one");
        return message;
    }
}
