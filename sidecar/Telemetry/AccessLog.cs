using System.Buffers;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Telemetry;

/// <summary>What the access log holds.</summary>
internal enum AccessLogMode
{
    /// <summary>Nothing.</summary>
    Off,

    /// <summary>What failed: a failure of ours, a 5xx, a gRPC status other than OK.</summary>
    Errors,

    /// <summary>Everything.</summary>
    All,
}

/// <summary>How the access log is written.</summary>
internal enum AccessLogFormat
{
    /// <summary>Istio's text.</summary>
    Text,

    /// <summary>JSON with Istio's keys.</summary>
    Json,
}

/// <summary>
/// The access log: the data path puts a copy of what happened into a ring, one background loop writes it. A full ring drops and
/// counts; a request never waits. Thread safe. Owner disposes it last: what is in the ring is written first, for at most a second.
/// </summary>
internal sealed class AccessLog : IAsyncDisposable
{
    private const int RingSize = 4096;

    /// <summary>How long the writer gathers lines before it writes them together.</summary>
    private static readonly TimeSpan Gather = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(1);

    private readonly AccessLogMode mode;
    private readonly AccessLogFormat format;
    private readonly Stream output;
    private readonly Counter dropped;
    private readonly TimeProvider time;
    private readonly BoundedRing<AccessLogEntry> ring = new(RingSize);
    private readonly SemaphoreSlim work = new(0);
    private readonly CancellationTokenSource stop = new();
    private readonly Task writer;
    private int awake;

    /// <summary>A log to <paramref name="output"/> (standard output in the program), writing until disposed.</summary>
    public AccessLog(AccessLogMode mode, AccessLogFormat format, Stream output, Counter dropped, TimeProvider time)
    {
        this.mode = mode;
        this.format = format;
        this.output = output;
        this.dropped = dropped;
        this.time = time;
        writer = Task.Run(WriteLoopAsync);
    }

    /// <summary>Logs a request that ended.</summary>
    public void Request(RequestFacts facts)
    {
        if (mode == AccessLogMode.Errors && facts.Failure == Failure.None && facts.Status < 500 && facts.GrpcStatus <= 0) return;
        Put(AccessLogEntry.Of(facts, WallClock(facts.Ended - facts.Started)));
    }

    /// <summary>Logs a TCP connection that ended.</summary>
    public void Tcp(TcpFacts facts)
    {
        if (mode == AccessLogMode.Errors && facts.Failure == Failure.None) return;
        Put(AccessLogEntry.Of(facts, WallClock(facts.Ended - facts.Started)));
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await Task.WhenAny(writer, Task.Delay(LastWords, time, CancellationToken.None));
        work.Dispose();
        stop.Dispose();
    }

    private (DateTimeOffset Start, TimeSpan Duration) WallClock(long ticks)
    {
        var duration = TimeSpan.FromTicks((long)(ticks * ((double)TimeSpan.TicksPerSecond / time.TimestampFrequency)));
        return (time.GetUtcNow() - duration, duration);
    }

    private void Put(in AccessLogEntry entry)
    {
        if (mode == AccessLogMode.Off) return;
        if (!ring.TryWrite(entry)) dropped.Add();
        if (Volatile.Read(ref awake) == 0 && Interlocked.Exchange(ref awake, 1) == 0) work.Release();
    }

    private async Task WriteLoopAsync()
    {
        var text = new ArrayBufferWriter<byte>(16 * 1024);
        var lines = new AccessLogLines(format, time);
        try
        {
            while (true)
            {
                await work.WaitAsync(stop.Token);
                await Task.Delay(Gather, time, stop.Token);
                Volatile.Write(ref awake, 0);
                await DrainAsync(text, lines);
            }
        }
        catch (OperationCanceledException)
        {
            await DrainAsync(text, lines);
        }
    }

    private async Task DrainAsync(ArrayBufferWriter<byte> text, AccessLogLines lines)
    {
        while (ring.TryRead(out var entry))
        {
            lines.Write(entry, text);
            if (text.WrittenCount >= 12 * 1024) await FlushAsync(text);
        }

        await FlushAsync(text);
    }

    private async Task FlushAsync(ArrayBufferWriter<byte> text)
    {
        if (text.WrittenCount == 0) return;
        try
        {
            await output.WriteAsync(text.WrittenMemory, CancellationToken.None);
            await output.FlushAsync(CancellationToken.None);
        }
        catch (IOException)
        {
            // Whoever read standard output has gone: the lines are lost, the traffic goes on.
            dropped.Add();
        }

        text.ResetWrittenCount();
    }
}
