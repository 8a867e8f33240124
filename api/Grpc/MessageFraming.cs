using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using Google.Protobuf;

namespace Mesh.Api.Grpc;

/// <summary>
/// gRPC's length-prefixed messages over a pipe: one byte "compressed", four bytes length, the message. Stateless; the pipe
/// belongs to the caller.
/// </summary>
internal static class MessageFraming
{
    /// <summary>The largest message taken unless told otherwise: 4 MiB, as everywhere in gRPC.</summary>
    public const int DefaultMaxMessageSize = 4 * 1024 * 1024;

    private const int PrefixLength = 5;

    /// <summary>Appends a message and sends it off.</summary>
    public static ValueTask<FlushResult> WriteAsync(PipeWriter output, IMessage message, CancellationToken cancellation)
    {
        var prefix = output.GetSpan(PrefixLength);
        prefix[0] = 0;
        BinaryPrimitives.WriteInt32BigEndian(prefix[1..], message.CalculateSize());
        output.Advance(PrefixLength);
        message.WriteTo(output);
        return output.FlushAsync(cancellation);
    }

    /// <summary>The next message, or null when the sender has half-closed. A <see cref="GrpcException"/> for what is not one.</summary>
    public static async ValueTask<T?> ReadAsync<T>(PipeReader input, MessageParser<T> parser, int maxSize, CancellationToken cancellation)
        where T : class, IMessage<T>
    {
        while (true)
        {
            var result = await input.ReadAsync(cancellation);
            var buffer = result.Buffer;
            if (TryTake(buffer, maxSize, out var body))
            {
                var message = Parse(parser, body);
                input.AdvanceTo(body.End);
                return message;
            }

            input.AdvanceTo(buffer.Start, buffer.End);
            if (result.IsCanceled)
                throw new OperationCanceledException(cancellation);
            if (!result.IsCompleted)
                continue;
            if (buffer.IsEmpty)
                return null;
            throw new GrpcException(GrpcStatusCode.Internal, $"the stream ended {buffer.Length} bytes into a message");
        }
    }

    private static bool TryTake(in ReadOnlySequence<byte> buffer, int maxSize, out ReadOnlySequence<byte> body)
    {
        body = default;
        if (buffer.Length < PrefixLength)
            return false;

        Span<byte> prefix = stackalloc byte[PrefixLength];
        buffer.Slice(0, PrefixLength).CopyTo(prefix);
        if (prefix[0] == 1)
            throw new GrpcException(GrpcStatusCode.Unimplemented, "compressed messages are not supported; send with grpc-encoding: identity");
        if (prefix[0] != 0)
            throw new GrpcException(GrpcStatusCode.Internal, $"malformed frame: compressed flag {prefix[0]}");

        var length = BinaryPrimitives.ReadUInt32BigEndian(prefix[1..]);
        if (length > maxSize)
            throw new GrpcException(GrpcStatusCode.ResourceExhausted, $"message of {length} bytes, at most {maxSize} are taken");
        if (buffer.Length - PrefixLength < length)
            return false;

        body = buffer.Slice(PrefixLength, length);
        return true;
    }

    private static T Parse<T>(MessageParser<T> parser, in ReadOnlySequence<byte> body)
        where T : class, IMessage<T>
    {
        try
        {
            return parser.ParseFrom(body);
        }
        catch (Exception e) when (e is InvalidProtocolBufferException or InvalidOperationException or ArgumentException)
        {
            // The second and third are the parser's own faults, for wrappers and strings cut off in the middle.
            throw new GrpcException(GrpcStatusCode.Internal, $"malformed {typeof(T).Name}: {e.Message}", e);
        }
    }
}
