using System.Net;
using Mesh.Sidecar.Config;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>A request body on its way into the runtime's HTTP/2 client, piece by piece as the client sends it. One per call.</summary>
internal sealed class Http2RequestContent(Exchange exchange, CancellationToken cancel) : HttpContent
{
    private readonly TaskCompletionSource stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int started;

    /// <summary>What went wrong on the client's side.</summary>
    public CallResult Client { get; private set; }

    /// <summary>True when the runtime wanted to send the request again, which it does only when the server processed nothing of it.</summary>
    public bool AskedAgain { get; private set; }

    /// <summary>Makes sure that nothing reads the client's body any more.</summary>
    public Task StopAsync()
    {
        if (Interlocked.Exchange(ref started, 1) == 0) return Task.CompletedTask;
        if (!stopped.Task.IsCompleted) exchange.Body.Cancel();
        return stopped.Task;
    }

    /// <inheritdoc/>
    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => CopyAsync(stream);

    /// <inheritdoc/>
    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken) => CopyAsync(stream);

    /// <inheritdoc/>
    protected override bool TryComputeLength(out long length)
    {
        length = exchange.BodyLength;
        return length >= 0;
    }

    private async Task CopyAsync(Stream to)
    {
        // The runtime asks again when it wants to send the request again; only the attempt loop may do that.
        var body = exchange.Body;
        if (Interlocked.Exchange(ref started, 1) != 0)
        {
            AskedAgain = true;
            if (!body.Rewindable) throw new IOException("the body is not kept");
            body.Rewind();
        }

        try
        {
            await to.FlushAsync(cancel);
            while (true)
            {
                var piece = await body.ReadAsync();
                if (piece.Cancelled) throw new IOException("the call is over");
                foreach (var part in piece.Bytes) await to.WriteAsync(part, cancel);
                if (!piece.Bytes.IsEmpty) await to.FlushAsync(cancel);
                body.Taken(piece);
                if (piece.Last) return;
            }
        }
        catch (BadHttpRequestException e)
        {
            Client = new CallResult(Failure.BadRequest, e.Message);
            throw;
        }
        catch (Exception e) when (e is ConnectionAbortedException or ConnectionResetException)
        {
            Client = new CallResult(Failure.ClientGone, "the client went away while it sent the request body");
            throw;
        }
        finally
        {
            stopped.TrySetResult();
        }
    }
}
