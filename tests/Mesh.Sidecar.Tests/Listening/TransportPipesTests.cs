using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Listening;

/// <summary>A transport as a reader and a writer, over a real socket.</summary>
public sealed class TransportPipesTests : IDisposable
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(30);
    private readonly BlockPool pool = new();
    private readonly Socket peer;
    private readonly Socket own;
    private readonly TransportReader reader;
    private readonly TransportWriter writer;

    public TransportPipesTests()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        peer = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        peer.Connect(listener.LocalEndPoint!);
        own = listener.Accept();
        var transport = new SocketTransport(own);
        reader = new TransportReader(transport, pool);
        writer = new TransportWriter(transport);
        reader.Start();
    }

    public void Dispose()
    {
        own.Dispose();
        peer.Dispose();
        pool.Dispose();
    }

    /// <summary>However little of it is consumed at a time, and however much is looked at.</summary>
    [Theory]
    [InlineData(1_000, 7)]
    [InlineData(20_000, 1_000)]
    [InlineData(300_000, 4_096)]
    [InlineData(300_000, 33_333)]
    public async Task WhatIsReceivedIsReadInOrder(int size, int step)
    {
        var sent = Bytes(size);
        var sending = peer.SendAsync(sent);
        var got = new List<byte>();
        while (got.Count < size)
        {
            var read = await ReadAsync();
            var taken = read.Buffer.Slice(0, Math.Min(step, read.Buffer.Length));
            got.AddRange(taken.ToArray());
            reader.AdvanceTo(taken.End, got.Count % 2 == 0 || read.Buffer.Length == taken.Length ? taken.End : read.Buffer.GetPosition(1, taken.End));
        }

        Assert.Equal(sent, got);
        await sending;
        peer.Shutdown(SocketShutdown.Send);
        var last = await ReadAsync();
        Assert.True(last is { IsCompleted: true, Buffer.IsEmpty: true });
        await reader.Ended.WaitAsync(Bound);
    }

    [Fact]
    public async Task WhatWasLookedAtComesAgainWithMore()
    {
        await peer.SendAsync(Bytes(10));
        var read = await ReadAsync();
        reader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        Assert.False(reader.TryRead(out _));
        var next = reader.ReadAsync();
        Assert.False(next.IsCompleted);
        await peer.SendAsync(Bytes(5));
        Assert.Equal(15, (await next.AsTask().WaitAsync(Bound)).Buffer.Length);
    }

    [Fact]
    public async Task OnlySoMuchIsReceivedAheadAndTheEndIsHeardBehindIt()
    {
        var sent = Bytes(16 * 1024 * 1024);
        var sending = peer.SendAsync(sent);
        long before = -1, now = 0;
        // Until the receives ahead stop at the bound.
        await Eventually.TrueAsync(() =>
        {
            Assert.True(reader.TryRead(out var read) || now == 0);
            (before, now) = (now, read.Buffer.Length);
            if (!read.Buffer.IsEmpty) reader.AdvanceTo(read.Buffer.Start, read.Buffer.Start);
            return now >= 1024 * 1024 && before == now;
        });
        Assert.InRange(now, 1024 * 1024, 1024 * 1024 + 4096);
        Assert.False(sending.IsCompleted);
        var all = 0L;
        while (all < sent.Length)
        {
            var read = await ReadAsync();
            all += read.Buffer.Length;
            reader.AdvanceTo(read.Buffer.End);
        }

        await sending;
    }

    /// <summary>Nobody reads, and yet the end is heard: a request may be running.</summary>
    [Fact]
    public async Task TheEndIsHeardWithoutAReader()
    {
        await peer.SendAsync(Bytes(100_000));
        peer.Shutdown(SocketShutdown.Send);
        await reader.Ended.WaitAsync(Bound);
        Assert.Equal(100_000, (await ReadAsync()).Buffer.Length);
    }

    [Fact]
    public async Task AReadThatWaitsCanBeCancelledAndGoesOnLater()
    {
        var waits = reader.ReadAsync();
        reader.CancelPendingRead();
        var read = await waits;
        Assert.True(read is { IsCanceled: true, Buffer.IsEmpty: true });
        reader.AdvanceTo(read.Buffer.Start);
        reader.CancelPendingRead();
        Assert.True((await reader.ReadAsync()).IsCanceled);
        using var cancel = new CancellationTokenSource();
        var bounded = reader.ReadAsync(cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await bounded);
        await peer.SendAsync(Bytes(3));
        Assert.Equal(3, (await ReadAsync()).Buffer.Length);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task WhoReadsHearsWhyItWasBroken(bool atTheBound)
    {
        if (atTheBound)
        {
            _ = peer.SendAsync(Bytes(16 * 1024 * 1024)).ContinueWith(static t => _ = t.Exception, TaskScheduler.Default);
            await Eventually.TrueAsync(() =>
            {
                if (!reader.TryRead(out var read)) return false;
                reader.AdvanceTo(read.Buffer.Start, read.Buffer.Start);
                return read.Buffer.Length >= 1024 * 1024;
            });
        }

        var waits = atTheBound ? default : reader.ReadAsync();
        reader.Break(new InvalidTimeZoneException("why"));
        own.Dispose();
        await reader.Ended.WaitAsync(Bound);
        await Assert.ThrowsAsync<InvalidTimeZoneException>(async () => await (atTheBound ? reader.ReadAsync() : waits));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(5_000, 3)]
    [InlineData(70_000, 4_000)]
    [InlineData(1_000_000, 50_000)]
    public async Task WhatIsWrittenIsSentInOrder(int size, int step)
    {
        var all = Bytes(size);
        var receiving = ReceiveAllAsync();
        for (var at = 0; at < size; at += step)
        {
            writer.Write(all.AsSpan(at, Math.Min(step, size - at)));
            if (at % 7 == 0) Assert.False((await writer.FlushAsync().AsTask().WaitAsync(Bound)).IsCompleted);
        }

        // What was not flushed goes with the end.
        await writer.CompleteAsync();
        await writer.Ending.WaitAsync(Bound);
        Assert.Equal(all, await receiving.WaitAsync(Bound));
    }

    [Fact]
    public async Task AFlushWaitsForAPeerThatReadsSlowlyAndEndsWithIt()
    {
        writer.Write(Bytes(32 * 1024 * 1024));
        var flush = writer.FlushAsync().AsTask();
        Assert.False(flush.IsCompleted);
        peer.Dispose();
        Assert.True((await flush.WaitAsync(Bound)).IsCompleted);
        writer.Write(Bytes(100_000));
        Assert.True((await writer.FlushAsync()).IsCompleted);
        Assert.Equal(0, writer.UnflushedBytes);
        await reader.Ended.WaitAsync(Bound);
    }

    private static byte[] Bytes(int count) => [.. Enumerable.Range(0, count).Select(static i => (byte)(i * 31 >> 3))];

    private async Task<ReadResult> ReadAsync() => await reader.ReadAsync().AsTask().WaitAsync(Bound);

    private async Task<byte[]> ReceiveAllAsync()
    {
        var all = new MemoryStream();
        var buffer = new byte[4096];
        while (await peer.ReceiveAsync(buffer) is > 0 and var count) all.Write(buffer, 0, count);
        return all.ToArray();
    }
}
