using System.Buffers.Binary;
using System.Net.Sockets;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>Clients that want to keep the sidecar busy with nothing: they are ended or held back, and others are served meanwhile.</summary>
[Collection("alone")]
public sealed class FloodTests
{
    private const byte Data = 0, Headers = 1, Reset = 3, Settings = 4, Ping = 6, Continuation = 9;
    private const byte EndStream = 1, EndHeaders = 4;
    private static readonly TimeSpan Moment = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Served = TimeSpan.FromSeconds(15); // of a flood of 25
    private static readonly byte[] Preface = [.. "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8, .. Frame(Settings, 0, 0)];
    private static readonly byte[] Get = [0x82, 0x86, 0x84, 0x01, 3, .. "web"u8];

    [Fact]
    public async Task HeadsThatDripAreEndedInTime()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        string[] begins = ["", "G", "GET / HT", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: web\r\nX: ", "CONNECT web:80 HT", "CONNECT web:80 HTTP/1.1\r\nX: ", "PRI * HTTP/2.0\r\n"];
        var slow = begins.SelectMany(b => Enumerable.Repeat(b, 5)).Select(b => DripAsync(bed, b)).ToArray();
        while (!slow.All(s => s.IsCompleted))
        {
            await ServedAsync(bed);
            await Task.WhenAny(Task.WhenAll(slow), Task.Delay(200));
        }

        var lasted = await Task.WhenAll(slow);
        Assert.All(lasted, l => Assert.True(l < TimeSpan.FromSeconds(20), $"one lasted {l}"));
        await Eventually.TrueAsync(() => bed.Sink.Own.DownstreamOpen.Value == 0);
        Assert.All(origin.Requests, r => Assert.Equal("GET /served HTTP/1.1", r.Line));
    }

    [Fact]
    public async Task StreamsThatAreResetAtOnceEndTheConnection()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        var peak = 0L;
        var outcome = await FloodAsync(bed, i =>
        {
            peak = Math.Max(peak, bed.Sink.Own.RequestsActive.Value);
            var id = (i * 2) + 1;
            return [.. Frame(Headers, EndStream | EndHeaders, id, Get), .. Frame(Reset, 0, id, 0, 0, 0, 8)];
        });
        Assert.Equal(Outcome.Ended, outcome);
        Assert.InRange(peak, 0, 2000);
        await Eventually.TrueAsync(() => bed.Sink.Own.RequestsActive.Value == 0);
    }

    [Theory]
    [LongInlineData(Settings, 0)]
    [InlineData(Ping, 8)]
    public async Task QuestionsWhoseAnswersNobodyReadsAreHeldBack(byte type, int size)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        var outcome = await FloodAsync(bed, _ => Frame(type, 0, 0, new byte[size]), reads: false);
        Assert.NotEqual(Outcome.Swallowed, outcome);
    }

    [Theory]
    [InlineData(16_000)]
    [InlineData(1)]
    [LongInlineData(0)]
    public async Task AHeadWithoutEndEndsTheConnection(int size)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        // A field that is never indexed, with a name and a value of zero length, again and again.
        var piece = new byte[size];
        var outcome = await FloodAsync(bed, i => i == 0 ? Frame(Headers, EndStream, 1, Get) : Frame(Continuation, 0, 1, piece));
        Assert.Equal(Outcome.Ended, outcome);
        Assert.All(origin.Requests, r => Assert.Equal("GET /served HTTP/1.1", r.Line));
    }

    [Fact]
    public async Task TrailersOfAnHttp2RequestAreDroppedAndCounted()
    {
        await using var origin = await KestrelOrigin.StartAsync(async context => await context.Request.Body.CopyToAsync(context.Response.Body));
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(UpstreamProtocol.Http2, origin.Address)));
        using var client = await bed.ConnectAsync();
        byte[] post = [0x83, 0x86, 0x84, 0x01, 3, .. "web"u8];
        byte[] trailer = [0x00, 5, .. "x-sum"u8, 1, .. "6"u8];
        await client.SendAsync([.. Preface, .. Frame(Headers, EndHeaders, 1, post), .. Frame(Data, 0, 1, 65, 66, 67), .. Frame(Headers, EndStream | EndHeaders, 1, trailer)]);
        await Eventually.TrueAsync(() => bed.Sink.Own.DroppedTrailers.Value == 1 && bed.Sink.Own.RequestsActive.Value == 0);
    }

    /// <summary>Sends frames until the connection is ended, or nothing more is taken; others must be served all the time.</summary>
    private static async Task<Outcome> FloodAsync(Bed bed, Func<int, byte[]> frame, bool reads = true)
    {
        const int Batch = 200;
        var most = reads ? long.MaxValue : 256L * 1024 * 1024; // more than any buffer between us; whoever reads is ended by time at the latest
        using var client = await bed.ConnectAsync();
        using var over = new CancellationTokenSource();
        var reading = reads ? client.EndsWithinAsync(TimeSpan.FromSeconds(30)) : Task.FromResult(false);
        await client.SendAsync(Preface);
        var others = ServedUntilAsync(bed, over.Token);
        var outcome = await SendAsync();
        await over.CancelAsync();
        Assert.True(await others > 0);
        client.Dispose();
        await Eventually.TrueAsync(() => bed.Sink.Own.DownstreamOpen.Value == 0);
        await ServedAsync(bed);
        return outcome;

        async Task<Outcome> SendAsync()
        {
            var sent = 0L;
            var began = System.Diagnostics.Stopwatch.StartNew();
            for (var i = 0; sent < most && began.Elapsed < TimeSpan.FromSeconds(25); i += Batch)
            {
                byte[] bytes = [.. Enumerable.Range(i, Batch).SelectMany(frame)];
                sent += bytes.Length;
                try
                {
                    using var stuck = new CancellationTokenSource(Moment);
                    for (var at = 0; at < bytes.Length;) at += await client.Socket.SendAsync(bytes.AsMemory(at), SocketFlags.None, stuck.Token);
                }
                catch (SocketException)
                {
                    return Outcome.Ended;
                }
                catch (OperationCanceledException)
                {
                    return Outcome.HeldBack;
                }

                if (reads && reading.IsCompleted) return Outcome.Ended;
            }

            return Outcome.Swallowed;
        }
    }

    private static async Task<int> ServedUntilAsync(Bed bed, CancellationToken over)
    {
        var served = 0;
        while (!over.IsCancellationRequested)
        {
            await ServedAsync(bed);
            served++;
            await Task.Delay(20, CancellationToken.None);
        }

        return served;
    }

    private static async Task ServedAsync(Bed bed) =>
        Assert.Equal("hello", (await bed.AskAsync("GET /served HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n").WaitAsync(Served))!.Body);

    /// <summary>Says the beginning of a head and then a byte now and then; how long it may.</summary>
    private static async Task<TimeSpan> DripAsync(Bed bed, string begin)
    {
        using var client = await bed.ConnectAsync();
        var watch = System.Diagnostics.Stopwatch.StartNew();
        if (begin.Length > 0) await client.SendAsync(begin);
        var ended = client.EndsWithinAsync(TimeSpan.FromSeconds(30));
        while (await Task.WhenAny(ended, Task.Delay(500)) != ended)
        {
            try
            {
                if (begin.EndsWith(": ", StringComparison.Ordinal)) await client.SendAsync("x");
            }
            catch (SocketException)
            {
                break;
            }
        }

        return watch.Elapsed;
    }

    private static byte[] Frame(byte type, byte flags, int stream, params byte[] payload)
    {
        var frame = new byte[9 + payload.Length];
        BinaryPrimitives.WriteInt32BigEndian(frame, payload.Length << 8);
        frame[3] = type;
        frame[4] = flags;
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(5), stream);
        payload.CopyTo(frame, 9);
        return frame;
    }

    private enum Outcome
    {
        Ended,
        HeldBack,
        Swallowed,
    }
}
