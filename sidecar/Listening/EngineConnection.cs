using System.Buffers;
using System.IO.Pipelines;
using Mesh.Sidecar.Identity;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// A connection, plain or over TLS, as Kestrel's engines take it: they read what came where it was received to, and what they flush is one send
/// (and one record); no pipe lies between. Begun by <see cref="Start"/>, ended by the engine's disposal.
/// </summary>
internal sealed class EngineConnection : ConnectionContext, IConnectionLifetimeFeature, IMemoryPoolFeature
{
    private readonly CancellationTokenSource closed = new(); // not disposed: it holds nothing, and the engine may be through before it is told
    private readonly ITransport transport;
    private readonly MemoryPool<byte> pool;
    private readonly TransportReader input;
    private readonly TransportWriter output;

    /// <summary>Takes over a connection.</summary>
    public EngineConnection(ITransport transport, MemoryPool<byte> pool)
    {
        (this.transport, this.pool) = (transport, pool);
        input = new TransportReader(transport, pool);
        output = new TransportWriter(transport);
        Transport = new Duplex(input, output);
        ConnectionClosed = closed.Token;
        (LocalEndPoint, RemoteEndPoint) = (transport.Socket.LocalEndPoint, transport.Socket.RemoteEndPoint);
        Features.Set<IConnectionLifetimeFeature>(this);
        Features.Set<IMemoryPoolFeature>(this);
    }

    /// <inheritdoc/>
    public override string ConnectionId { get; set; } = "";

    /// <inheritdoc/>
    public override IFeatureCollection Features { get; } = new FeatureCollection(8);

    /// <inheritdoc/>
    public override IDictionary<object, object?> Items { get; set; } = new ConnectionItems();

    /// <inheritdoc/>
    public override IDuplexPipe Transport { get; set; }

    /// <inheritdoc/>
    public MemoryPool<byte> MemoryPool => pool;

    /// <summary>Begins to receive.</summary>
    public void Start()
    {
        input.Start();
        _ = TellAsync();
    }

    /// <summary>Whether its first bytes are HTTP/2's; they stay where they are. Who says nothing in time is closed.</summary>
    public async ValueTask<bool> SpeaksHttp2Async(TimeSpan bound, TimeProvider time)
    {
        using var timer = time.CreateTimer(static self => ((EngineConnection)self!).Abort(), this, bound, Timeout.InfiniteTimeSpan);
        while (true)
        {
            var read = await input.ReadAsync();
            var detected = Look(read.Buffer);
            var enough = detected != Detected.NeedMore || read.IsCompleted;
            input.AdvanceTo(read.Buffer.Start, enough ? read.Buffer.Start : read.Buffer.End);
            if (enough) return detected == Detected.Http2;
        }
    }

    /// <inheritdoc/>
    public override void Abort(ConnectionAbortedException abortReason)
    {
        input.Break(abortReason);
        // An answer that only the connection's end would end must not look whole.
        transport.Reset();
    }

    /// <inheritdoc/>
    public override void Abort() => Abort(new ConnectionAbortedException());

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        await Transport.Input.CompleteAsync();
        await Transport.Output.CompleteAsync();
        await output.Ending;
        transport.Dispose();
        await input.Ended;
    }

    private static Detected Look(ReadOnlySequence<byte> bytes) => Detection.Look(bytes.IsSingleSegment ? bytes.FirstSpan : bytes.ToArray());

    private async Task TellAsync()
    {
        // Goes on on a thread of the pool: who hears this may do anything, and the one that heard of the end belongs to the sockets.
        await input.Ended;
        await closed.CancelAsync();
    }

    private sealed class Duplex(PipeReader input, PipeWriter output) : IDuplexPipe
    {
        public PipeReader Input => input;

        public PipeWriter Output => output;
    }
}
