using System.Buffers;
using System.IO.Pipelines;
using FsCheck;
using FsCheck.Fluent;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;

namespace Mesh.Api.Tests.Grpc;

/// <summary>Framing for all inputs: bytes cut anywhere, and bytes that are no frames.</summary>
public sealed class MessageFramingTests
{
    [Fact]
    public void What_was_written_is_read_however_the_bytes_are_cut() =>
        Prop.ForAll(ArbMap.Default.ArbFor<NonNull<string>[]>(), ArbMap.Default.ArbFor<PositiveInt>(), (texts, piece) =>
        {
            var written = new ArrayBufferWriter<byte>();
            var messages = texts.Select(t => new StringValue { Value = Printable(t.Get) }).ToList();
            foreach (var message in messages)
                written.Write(WriteAsync(message).GetAwaiter().GetResult());

            var read = ReadAllAsync(written.WrittenMemory.ToArray(), piece.Get).GetAwaiter().GetResult();

            return read.SequenceEqual(messages);
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Any_bytes_are_messages_or_a_status() =>
        Prop.ForAll(ArbMap.Default.ArbFor<byte[]>(), ArbMap.Default.ArbFor<PositiveInt>(), (bytes, piece) =>
        {
            try
            {
                ReadAllAsync(bytes, piece.Get).GetAwaiter().GetResult();
                return true;
            }
            catch (GrpcException e)
            {
                return e.Code is GrpcStatusCode.Internal or GrpcStatusCode.Unimplemented or GrpcStatusCode.ResourceExhausted;
            }
        }).QuickCheckThrowOnFailure();

    [Fact]
    public async Task A_message_of_the_limit_is_taken_and_one_byte_more_is_not()
    {
        var message = new StringValue { Value = new string('x', 100) };
        var bytes = await WriteAsync(message);
        var size = bytes.Length - 5;

        Assert.Equal([message], await ReadAllAsync(bytes, 7, size));
        var e = await Assert.ThrowsAsync<GrpcException>(() => ReadAllAsync(bytes, 7, size - 1));
        Assert.Equal(GrpcStatusCode.ResourceExhausted, e.Code);
    }

    private static async Task<byte[]> WriteAsync(StringValue message)
    {
        using var stream = new MemoryStream();
        await MessageFraming.WriteAsync(PipeWriter.Create(stream), message, CancellationToken.None);
        return stream.ToArray();
    }

    private static async Task<List<StringValue>> ReadAllAsync(byte[] bytes, int piece, int maxSize = MessageFraming.DefaultMaxMessageSize)
    {
        var pipe = new Pipe();
        var filling = FillAsync(pipe.Writer, bytes, piece);
        var reader = new MessageReader<StringValue>(pipe.Reader, StringValue.Parser, maxSize);
        var read = await reader.ReadAllAsync(CancellationToken.None).ToListAsync();
        await filling;
        return read;
    }

    private static async Task FillAsync(PipeWriter output, byte[] bytes, int piece)
    {
        for (var at = 0; at < bytes.Length; at += piece)
            await output.WriteAsync(bytes.AsMemory(at, Math.Min(piece, bytes.Length - at)));
        await output.CompleteAsync();
    }

    private static string Printable(string text) => string.Concat(text.Where(c => !char.IsSurrogate(c)));
}
