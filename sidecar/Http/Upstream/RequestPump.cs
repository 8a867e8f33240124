using System.Net.Sockets;
using Mesh.Sidecar.Config;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// Carries a request body from the client to an HTTP/1.1 upstream as it comes, beside the reading of the answer.
/// One per connection, reset for each request; <see cref="Done"/> may be read from the other side at any time.
/// </summary>
internal sealed class RequestPump(IUpstreamSocket socket, WireBuffer send)
{
    private volatile bool done;
    private volatile bool over;
    private BodyPiece ready;
    private bool hasReady;

    /// <summary>True when the whole request was sent.</summary>
    public bool Done => done;

    /// <summary>What went wrong on the client's side.</summary>
    public CallResult Client { get; private set; }

    /// <summary>
    /// Writes the head, and what the client has sent of the body already, into the buffer: a small request is one packet.
    /// </summary>
    public void Prepare(Exchange exchange)
    {
        send.Clear();
        Client = CallResult.Ok;
        Http1RequestWriter.Head(send, exchange);
        done = !exchange.Body.Exists;
        hasReady = !done && !exchange.ExpectsContinue && exchange.Body.TryRead(out ready) && !ready.Cancelled;
        if (hasReady) Append(ready, exchange.BodyLength < 0);
    }

    /// <summary>Sends what is prepared. Throws what the socket throws.</summary>
    public async ValueTask SendPreparedAsync(Exchange exchange)
    {
        await socket.SendAsync(send.FilledMemory);
        if (!hasReady) return;
        hasReady = false;
        exchange.Body.Taken(ready);
        if (ready.Last) done = true;
    }

    /// <summary>The connection is given up: a cancelled read ends the pump from now on. Any thread; it stays so.</summary>
    public void GiveUp() => over = true;

    /// <summary>The send failed: the client's bytes come again for the next try.</summary>
    public void Undo(Exchange exchange)
    {
        if (hasReady) exchange.Body.GiveBack(ready);
        hasReady = false;
    }

    /// <summary>Carries on until the body has ended, the upstream takes no more, or the reading is cancelled.</summary>
    public async Task RunAsync(Exchange exchange, Action<Failure> clientFailed)
    {
        var body = exchange.Body;
        try
        {
            while (!done && !over)
            {
                var piece = await body.ReadAsync();
                // The word that ended an earlier try may come late, when this one reads.
                if (!piece.Cancelled) await SendAsync(piece, exchange);
            }
        }
        catch (Exception e) when (IsClients(e))
        {
            Client = Explain(e);
            clientFailed(Client.Failure);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The upstream takes no more. It may have answered before it did that: whoever reads the answer will know.
        }
    }

    /// <summary>True when a read of the body failed by the client's doing.</summary>
    public static bool IsClients(Exception e) =>
        e is BadHttpRequestException or ConnectionAbortedException or ConnectionResetException or IOException or OperationCanceledException;

    /// <summary>What the client did.</summary>
    public static CallResult Explain(Exception e) => e is BadHttpRequestException bad
        ? new CallResult(Failure.BadRequest, bad.Message)
        : new CallResult(Failure.ClientGone, "the client went away while it sent the request body");

    private async ValueTask SendAsync(BodyPiece piece, Exchange exchange)
    {
        send.Clear();
        Append(piece, exchange.BodyLength < 0);
        try
        {
            if (send.Count > 0) await socket.SendAsync(send.FilledMemory);
        }
        catch
        {
            // Whoever reads on, for another try or to drain the connection, finds it again.
            exchange.Body.GiveBack(piece);
            throw;
        }

        exchange.Body.Taken(piece);
        if (piece.Last) done = true;
    }

    private void Append(in BodyPiece piece, bool chunked)
    {
        Http1RequestWriter.Body(send, piece.Bytes, chunked);
        if (chunked && piece.Last) Http1RequestWriter.LastChunk(send);
    }
}
