using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// A connection to an endpoint over HTTP/1.1, one call at a time. Between calls it is parked in its pool. Only this class decides what was
/// sent and what was not, so nothing is ever sent twice unless the attempt loop says so. <see cref="Abort"/> may come from any thread.
/// </summary>
internal sealed class Http1Connection : IUpstreamCall
{
    private const int UsualBuffer = 4 * 1024;
    private const int LargestBuffer = 64 * 1024;
    private const int MostInterims = 32;
    private static readonly TimeSpan PatienceWithContinue = TimeSpan.FromSeconds(1);
    private readonly Http1Pool pool;
    private readonly IUpstreamSocket socket;
    private readonly WireBuffer received = new(UsualBuffer);
    private readonly WireBuffer send = new(UsualBuffer);
    private readonly ResponseHead head = new();
    private readonly AnswerBody body = new();
    private readonly RequestPump pump;
    private readonly Action<Failure> clientFailed;
    private DialTerms? terms;
    private Exchange? exchange;
    private Task running = Task.CompletedTask;
    private TaskCompletionSource? mayContinue;
    private bool reused;
    private bool posted;
    private bool complete;
    private volatile bool aborted;

    /// <summary>Takes over a connection that was made on these terms; null is plaintext.</summary>
    public Http1Connection(Http1Pool pool, ITransport connected, DialTerms? terms)
    {
        this.pool = pool;
        this.terms = terms;
        socket = connected is TlsTransport tls ? new TlsUpstreamSocket(tls) : new UpstreamSocket(connected.Socket);
        pump = new RequestPump(socket, send);
        clientFailed = _ => Abort();
    }

    /// <inheritdoc/>
    public int Status => head.Status;

    /// <inheritdoc/>
    public string? Reason => head.Reason;

    /// <inheritdoc/>
    public HeaderList Headers => head.Fields;

    /// <inheritdoc/>
    public HeaderList Trailers => body.Trailers;

    /// <inheritdoc/>
    public bool IsProven => terms is not null;

    /// <inheritdoc/>
    public long BodyLength => body.Length;

    /// <inheritdoc/>
    public bool IsHeadOnly => false;

    /// <summary>Timestamp of the end of its last call.</summary>
    public long IdleSince { get; private set; }

    /// <summary>True when it is closed.</summary>
    public bool IsClosed => socket.IsClosed;

    /// <summary>Whether it may serve a request that is to go on these terms: only one made on equal ones may.</summary>
    public bool IsOn(DialTerms? wanted)
    {
        if (ReferenceEquals(terms, wanted)) return true;
        if (terms is null || wanted is null || !terms.Equals(wanted)) return false;
        terms = wanted; // found by reference next time
        return true;
    }

    /// <summary>Takes it out of the pool; false when it cannot be used any more.</summary>
    public bool TryTake()
    {
        if (!socket.TryTake()) return false;
        if (socket.EndedMeanwhile)
        {
            socket.Close();
            return false;
        }

        reused = posted = true;
        complete = false; // of the last call: given back unused, it is closed, since a receive is posted
        return true;
    }

    /// <summary>Closes it while it is parked, because it was idle for too long; false when a request took it meanwhile.</summary>
    public bool TryRetire()
    {
        if (!socket.TryTake()) return false;
        socket.Retire();
        return true;
    }

    /// <inheritdoc/>
    public ValueTask<CallResult> SendAsync(Exchange of)
    {
        exchange = of;
        complete = false;
        body.Reset();
        var begun = BeginAsync(of);
        // It nearly always is: one state machine less waits for the answer.
        return begun.IsCompletedSuccessfully ? GoOn(begun.Result, of) : Later(begun, of);

        async ValueTask<CallResult> Later(ValueTask<CallResult> sending, Exchange of) => await GoOn(await sending, of);
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<CallResult> CopyBodyAsync(PipeWriter to, Exchange of)
    {
        long unflushed = 0;
        var headWaits = true;
        while (true)
        {
            var before = received.Count;
            var step = body.Copy(received, to, out var copied);
            unflushed += copied;
            of.Facts.ResponseBytes += copied;
            if (step == ChunkedBody.Step.Done) return await FinishAsync(to, flush: unflushed > 0 && !headWaits);
            if (step == ChunkedBody.Step.Invalid) return new CallResult(Failure.UpstreamProtocolError, "the chunks of the answer's body are malformed");
            if (before == received.Capacity && before < LargestBuffer) received.Resize(Math.Min(LargestBuffer, before * 4));
            var receive = ReceiveAsync();
            // What is here goes out when the upstream pauses, not before: few and large packets, but never a wait.
            if (((unflushed > 0 || headWaits) && !receive.IsCompleted) || unflushed >= LargestBuffer)
            {
                unflushed = 0;
                headWaits = false;
                var flushed = await to.FlushAsync();
                if (flushed.IsCompleted || flushed.IsCanceled) return Gone();
            }

            var count = await receive;
            if (count == 0 && body.EndsWithConnection) return await FinishAsync(to, flush: unflushed > 0 && !headWaits);
            if (!Got(count)) return Ended("the instance closed the connection in the middle of the answer's body");
        }
    }

    /// <inheritdoc/>
    public ValueTask<CallResult> TunnelAsync(Stream client, Exchange of) => new UpgradeTunnel(socket, received, client, of, Abort).RunAsync();

    /// <inheritdoc/>
    public void Abort()
    {
        aborted = true;
        pump.GiveUp();
        socket.Close();
        if (!running.IsCompleted) exchange?.Body.Cancel();
        mayContinue?.TrySetResult();
    }

    /// <inheritdoc/>
    public async ValueTask CloseAsync()
    {
        var clean = complete && pump.Done && !aborted && head.KeepAlive && !body.EndsWithConnection && received.Count == 0 && head.Status != 101;
        if (!clean) Abort();
        await running;
        running = Task.CompletedTask;
        mayContinue = null;
        exchange = null;
        if (clean) Shrink();
        IdleSince = pool.Now;
        if (clean && socket.Park(received.Free)) pool.Return(this);
        else pool.Closed();
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<CallResult> BeginAsync(Exchange of)
    {
        try
        {
            pump.Prepare(of);
            await pump.SendPreparedAsync(of);
            return CallResult.Ok;
        }
        catch (Exception e) when (RequestPump.IsClients(e))
        {
            return of.Stopped != Failure.None ? new CallResult(of.Stopped) : RequestPump.Explain(e);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return NotSent(of);
        }
    }

    private ValueTask<CallResult> GoOn(CallResult begun, Exchange of)
    {
        if (begun.Failure != Failure.None) return new(begun);
        if (!pump.Done) running = of.ExpectsContinue ? PumpOnceToldAsync(of) : pump.RunAsync(of, clientFailed);
        return ReadHeadAsync(of);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<CallResult> ReadHeadAsync(Exchange of)
    {
        var scanned = 0;
        var interims = 0;
        while (true)
        {
            var size = ResponseHead.FindEnd(received.Filled, ref scanned);
            if (size < 0) return Malformed("a line of the head does not end in CR LF");
            if (size == 0)
            {
                if (received.Count >= ResponseHead.MaxBytes) return Malformed("the head is larger than 32 KiB");
                received.Reserve(1024);
                var count = await ReceiveAsync();
                if (!Got(count)) return Ended(Unanswered(count));
                continue;
            }

            if (head.Read(received.Filled[..size]) is { } wrong) return Malformed(wrong);
            received.Consume(size);
            scanned = 0;
            if (head.Status >= 200 || head.Status == 101) break;
            if (++interims > MostInterims) return Malformed("more than 32 interim responses");
            mayContinue?.TrySetResult();
        }

        if (head.Status == 101 && !of.WebSocket) return Malformed("101 though no upgrade was asked for");
        body.Begin(head, of.Facts.Method);
        if (head.Status >= 300) mayContinue?.TrySetResult();
        return CallResult.Ok;
    }

    private void Shrink()
    {
        send.Clear();
        if (received.Capacity > UsualBuffer) received.Resize(UsualBuffer);
        if (send.Capacity > UsualBuffer) send.Resize(UsualBuffer);
    }

    private ValueTask<int> ReceiveAsync()
    {
        if (posted)
        {
            posted = false;
            return socket.PostedReceive();
        }

        received.Reserve(1);
        return socket.ReceiveAsync(received.Free);
    }

    private bool Got(int count)
    {
        if (count <= 0) return false;
        received.Produce(count);
        return true;
    }

    private async Task PumpOnceToldAsync(Exchange of)
    {
        var told = mayContinue = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await Task.WhenAny(told.Task, Task.Delay(PatienceWithContinue, pool.Time, CancellationToken.None));
        if (!aborted && !(head.Status >= 300 && told.Task.IsCompleted)) await pump.RunAsync(of, clientFailed);
    }

    private CallResult NotSent(Exchange of)
    {
        // A small request on a connection that failed at the first send: the kernel took nothing of it.
        var untouched = send.Count <= 16 * 1024;
        pump.Undo(of);
        if (of.Stopped != Failure.None) return new CallResult(of.Stopped);
        return new CallResult(Failure.UpstreamClosed, "the instance closed the connection before the request was sent",
            untouched ? RetryOn.ResetBeforeRequest : RetryOn.None);
    }

    private string Unanswered(int count)
    {
        var how = count < 0 ? "reset" : "closed";
        var what = received.Count > 0 ? "in the middle of the answer's head" : "before it answered";
        return reused ? $"the instance {how} a connection that was in use before, {what}" : $"the instance {how} the connection {what}";
    }

    private CallResult Ended(string detail)
    {
        if (exchange!.Stopped != Failure.None) return new CallResult(exchange.Stopped);
        return pump.Client.Failure != Failure.None ? pump.Client : new CallResult(Failure.UpstreamClosed, detail);
    }

    private CallResult Gone()
    {
        Abort();
        return new CallResult(exchange!.Stopped == Failure.None ? Failure.ClientGone : exchange.Stopped);
    }

    /// <summary>The end of the request flushes an answer that was never flushed: head and body in one packet. The rest of a longer one is ours to flush.</summary>
    private async ValueTask<CallResult> FinishAsync(PipeWriter to, bool flush)
    {
        complete = true;
        if (flush) await to.FlushAsync();
        return CallResult.Ok;
    }

    private CallResult Malformed(string detail) => new(Failure.UpstreamProtocolError, detail);
}
