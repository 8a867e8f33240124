using System.IO.Pipelines;
using System.Net;
using Google.Protobuf;

namespace Mesh.Api.Grpc;

/// <summary>The request of a call whose client sends exactly one message. Owned by one request.</summary>
internal sealed class SingleMessageContent(IMessage message) : HttpContent
{
    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        var output = PipeWriter.Create(stream, new StreamPipeWriterOptions(leaveOpen: true));
        await MessageFraming.WriteAsync(output, message, cancellationToken);
        await output.CompleteAsync();
    }

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }
}
