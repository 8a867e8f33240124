using System.IO.Pipelines;
using System.Net;

namespace Mesh.Api.Grpc;

/// <summary>
/// The request of a call whose client streams: hands the request stream out to be written to, and keeps it open until the
/// client half-closes. Owned by one call.
/// </summary>
internal sealed class MessageStreamContent : HttpContent
{
    private readonly TaskCompletionSource<PipeWriter> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _halfClosed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Where messages are written to, once the request is on its way.</summary>
    public Task<PipeWriter> Output => _opened.Task;

    /// <summary>Ends this direction of the call.</summary>
    public void HalfClose() => _halfClosed.TrySetResult();

    /// <summary>Tells waiting writers that the request will never be on its way.</summary>
    public void Fail(Exception failure)
    {
        if (_opened.TrySetException(failure))
            _ = _opened.Task.Exception; // Seen: nobody may be writing.
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        try
        {
            // Sends the request's head: the server may speak first.
            await stream.FlushAsync(cancellationToken);
        }
        catch (Exception e)
        {
            // A server that refused at once: whoever waits to write must not wait for ever.
            Fail(e);
            throw;
        }

        _opened.TrySetResult(PipeWriter.Create(stream, new StreamPipeWriterOptions(minimumBufferSize: 16 * 1024, leaveOpen: true)));
        await _halfClosed.Task.WaitAsync(cancellationToken);
    }

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }
}
