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
    private volatile bool over;

    /// <summary>What went wrong on the client's side.</summary>
    public CallResult Client { get; private set; }

    /// <summary>
    /// True when the runtime wanted to send the body again: it does so only after the server said that it processed nothing of the request
    /// (GOAWAY, REFUSED_STREAM).
    /// </summary>
    public bool AskedAgain { get; private set; }

    /// <summary>Makes sure that nothing reads the client's body any more.</summary>
    public Task StopAsync()
    {
        over = true;
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
        if (Interlocked.Exchange(ref started, 1) != 0)
        {
            AskedAgain = true;
            throw new IOException("the body was sent already");
        }

        var body = exchange.Body;
        try
        {
            await to.FlushAsync(cancel);
            while (true)
            {
                var piece = await body.ReadAsync();
                if (over) throw Over(body, piece);
                // The word that ended an earlier try may come late, when this one reads.
                if (piece.Cancelled) continue;
                await SendAsync(to, piece);
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

    private static IOException Over(RequestBody body, in BodyPiece piece)
    {
        if (!piece.Cancelled) body.GiveBack(piece);
        return new IOException("the call is over");
    }

    private async ValueTask SendAsync(Stream to, BodyPiece piece)
    {
        try
        {
            foreach (var part in piece.Bytes) await to.WriteAsync(part, cancel);
            if (!piece.Bytes.IsEmpty) await to.FlushAsync(cancel);
        }
        catch
        {
            // Whoever reads on, for another try or to drain the stream, finds it again.
            exchange.Body.GiveBack(piece);
            throw;
        }

        exchange.Body.Taken(piece);
    }
}
