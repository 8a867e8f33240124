using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>HTTP/2 by prior knowledge, gRPC's shapes, and WebSockets.</summary>
public sealed class Http2Tests
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(15);

    [Theory]
    [InlineData(UpstreamProtocol.Downstream)]
    [InlineData(UpstreamProtocol.Http2)]
    internal async Task AUnaryCallKeepsBodyHeadersAndTrailers(UpstreamProtocol protocol)
    {
        await using var origin = await KestrelOrigin.StartAsync(async context =>
        {
            Assert.Equal("HTTP/2", context.Request.Protocol);
            Assert.Equal("web", context.Request.Host.Value);
            Assert.Equal("trailers", context.Request.Headers.TE);
            context.Response.ContentType = "application/grpc";
            context.Response.Headers["x-many"] = new[] { "one", "two" };
            await context.Response.StartAsync();
            await context.Request.Body.CopyToAsync(context.Response.Body);
            context.Response.AppendTrailer("grpc-status", "0");
            context.Response.AppendTrailer("grpc-message", "fine");
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(protocol, origin.Address)));
        using var client = Client();
        using var answer = await client.SendAsync(Grpc(bed, new ByteArrayContent(Encoding.ASCII.GetBytes("some bytes"))), CancellationToken.None);
        Assert.Equal("some bytes", await answer.Content.ReadAsStringAsync());
        Assert.Equal(["one", "two"], answer.Headers.GetValues("x-many"));
        Assert.Equal(["0"], answer.TrailingHeaders.GetValues("grpc-status"));
        Assert.Equal(["fine"], answer.TrailingHeaders.GetValues("grpc-message"));
    }

    [Fact]
    public async Task BothDirectionsStreamAtOnce()
    {
        await using var origin = await KestrelOrigin.StartAsync(async context =>
        {
            context.Response.ContentType = "application/grpc";
            await context.Response.StartAsync();
            await context.Response.Body.FlushAsync();
            var buffer = new byte[100];
            while (await context.Request.Body.ReadAsync(buffer) is > 0 and var count)
            {
                await context.Response.Body.WriteAsync(buffer.AsMemory(0, count));
                await context.Response.Body.FlushAsync();
            }

            context.Response.AppendTrailer("grpc-status", "0");
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(UpstreamProtocol.Downstream, origin.Address)));
        using var client = Client();
        using var content = new Duplex();
        using var answer = await client.SendAsync(Grpc(bed, content), CancellationToken.None).WaitAsync(Bound);
        var stream = await answer.Content.ReadAsStreamAsync();
        var buffer = new byte[100];
        for (var i = 0; i < 10; i++)
        {
            await content.WriteAsync($"message {i}");
            var count = await stream.ReadAsync(buffer).AsTask().WaitAsync(Bound);
            Assert.Equal($"message {i}", Encoding.ASCII.GetString(buffer, 0, count));
        }

        content.Complete();
        Assert.Equal(0, await stream.ReadAsync(buffer).AsTask().WaitAsync(Bound));
        Assert.Equal(["0"], answer.TrailingHeaders.GetValues("grpc-status"));
    }

    [Fact]
    public async Task AClientThatCancelsCancelsTheServer()
    {
        var cancelled = new TaskCompletionSource();
        await using var origin = await KestrelOrigin.StartAsync(async context =>
        {
            await context.Response.StartAsync();
            await context.Response.Body.FlushAsync();
            context.RequestAborted.Register(() => cancelled.TrySetResult());
            await cancelled.Task;
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(UpstreamProtocol.Http2, origin.Address)));
        using var client = Client();
        var answer = await client.SendAsync(Grpc(bed, new ByteArrayContent([])), CancellationToken.None).WaitAsync(Bound);
        answer.Dispose();
        await cancelled.Task.WaitAsync(Bound);
        await Eventually.TrueAsync(() => bed.Sink.Own.RequestsActive.Value == 0);
    }

    [Fact]
    public async Task AServerThatResetsResetsTheClient()
    {
        await using var origin = await KestrelOrigin.StartAsync(async context =>
        {
            await context.Response.StartAsync();
            await context.Response.Body.WriteAsync(new byte[10]);
            await context.Response.Body.FlushAsync();
            context.Abort();
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(UpstreamProtocol.Http2, origin.Address)));
        using var client = Client();
        using var answer = await client.SendAsync(Grpc(bed, new ByteArrayContent([])), CancellationToken.None).WaitAsync(Bound);
        var stream = await answer.Content.ReadAsStreamAsync();
        await Assert.ThrowsAsync<HttpProtocolException>(() => stream.CopyToAsync(Stream.Null).WaitAsync(Bound));
    }

    [Fact]
    public async Task ARefusalIsAGrpcStatus()
    {
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(UpstreamProtocol.Http2, Bed.Nowhere())));
        using var client = Client();
        using var answer = await client.SendAsync(Grpc(bed, new ByteArrayContent([])), CancellationToken.None).WaitAsync(Bound);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal("14", Assert.Single(answer.Headers.GetValues("grpc-status")));
        Assert.Contains("refused", Uri.UnescapeDataString(Assert.Single(answer.Headers.GetValues("grpc-message"))), StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>gRPC's clients take a status in a head only when the head is all: by the flag in its frame, not by an empty frame after it.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task AnAnswerThatEndsWithItsHeadDoesSoForTheClient(bool isRefused)
    {
        await using var origin = await KestrelOrigin.StartAsync(context =>
        {
            context.Response.ContentType = "application/grpc";
            context.Response.Headers["grpc-status"] = "9";
            return Task.CompletedTask;
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(UpstreamProtocol.Http2, isRefused ? Bed.Nowhere() : origin.Address)));
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(bed.Port);
        // POST http://web/ with content-type: application/grpc, at its end.
        await socket.SendAsync(Encoding.Latin1.GetBytes(
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0\0\0\u001a\u0001\u0005\0\0\0\u0001\u0083\u0086\u0084\u0041\u0003web\u005f\u0010application/grpc"));
        await using var stream = new NetworkStream(socket);
        using var limit = new CancellationTokenSource(Bound);
        var head = new byte[9];
        do
        {
            await stream.ReadExactlyAsync(head, limit.Token);
            await stream.ReadExactlyAsync(new byte[(head[0] << 16) | (head[1] << 8) | head[2]], limit.Token);
        }
        while (head[3] != 1);
        Assert.Equal(5, head[4]); // END_STREAM, END_HEADERS
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task ARefusedStreamIsTriedElsewhere(bool withBody)
    {
        var refused = 0;
        await using var busy = await KestrelOrigin.StartAsync(context =>
        {
            Interlocked.Increment(ref refused);
            context.Features.Get<IHttpResetFeature>()!.Reset(0x7); // REFUSED_STREAM
            return Task.CompletedTask;
        });
        await using var free = await KestrelOrigin.StartAsync(async context => await context.Request.Body.CopyToAsync(context.Response.Body));
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(UpstreamProtocol.Http2, busy.Address, free.Address)));
        using var client = Client();
        using var message = Grpc(bed, new ByteArrayContent("body"u8.ToArray()));
        if (!withBody) (message.Method, message.Content) = (HttpMethod.Get, null);
        using var answer = await client.SendAsync(message, CancellationToken.None).WaitAsync(Bound);
        Assert.Equal(withBody ? "body" : "", await answer.Content.ReadAsStringAsync());
        // The runtime's client asks the same connection again by itself, up to three times; HTTP/2 says that nothing was processed.
        Assert.InRange(refused, 1, 4);
    }

    [Fact]
    public async Task Http1TrailersReachAnHttp2Client()
    {
        await using var origin = RecordingOrigin.Saying(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 6\r\nContent-Length: 9\r\n\r\n");
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(UpstreamProtocol.Http1, origin.Address)));
        using var client = Client();
        using var answer = await client.SendAsync(new HttpRequestMessage(HttpMethod.Get, $"http://{bed.Port}/") { Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact }, CancellationToken.None);
        Assert.Equal("abc", await answer.Content.ReadAsStringAsync());
        Assert.Equal(["6"], answer.TrailingHeaders.GetValues("x-sum"));
        Assert.False(answer.TrailingHeaders.Contains("Content-Length"));
    }

    [Fact]
    public async Task AWebSocketIsATunnel()
    {
        await using var origin = await KestrelOrigin.StartAsync(EchoSocketAsync, HttpProtocols.Http1);
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(UpstreamProtocol.Downstream, origin.Address)));
        using var socket = new ClientWebSocket();
        await socket.ConnectAsync(new Uri($"ws://{bed.Port}/chat"), CancellationToken.None).WaitAsync(Bound);
        var buffer = new byte[200];
        for (var i = 0; i < 20; i++)
        {
            await socket.SendAsync(Encoding.ASCII.GetBytes($"message {i}"), WebSocketMessageType.Text, true, CancellationToken.None);
            var got = await socket.ReceiveAsync(buffer, CancellationToken.None).WaitAsync(Bound);
            Assert.Equal($"message {i}", Encoding.ASCII.GetString(buffer, 0, got.Count));
        }

        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, "bye", CancellationToken.None).WaitAsync(Bound);
        Assert.Equal(WebSocketCloseStatus.NormalClosure, socket.CloseStatus);
        await Eventually.TrueAsync(() => bed.Sink.Own.RequestsActive.Value == 0);
        await Eventually.TrueAsync(() => bed.Sink.Own.UpstreamOpen.Value == 0);
    }

    private static async Task EchoSocketAsync(HttpContext context)
    {
        using var socket = await context.WebSockets.AcceptWebSocketAsync();
        var buffer = new byte[200];
        while (true)
        {
            var got = await socket.ReceiveAsync(buffer, CancellationToken.None);
            if (got.MessageType == WebSocketMessageType.Close)
            {
                await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, "bye", CancellationToken.None);
                return;
            }

            await socket.SendAsync(buffer.AsMemory(0, got.Count), got.MessageType, got.EndOfMessage, CancellationToken.None);
        }
    }

    private static HttpMessageInvoker Client() => new(new SocketsHttpHandler { UseProxy = false, ActivityHeadersPropagator = null });

    private static HttpRequestMessage Grpc(Bed bed, HttpContent content)
    {
        var message = new HttpRequestMessage(HttpMethod.Post, $"http://{bed.Port}/pkg.Service/Method")
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = content,
        };
        message.Headers.Host = "web";
        message.Headers.TE.Add(new TransferCodingWithQualityHeaderValue("trailers"));
        content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
        return message;
    }

    /// <summary>A request body that a test writes bit by bit.</summary>
    private sealed class Duplex : HttpContent
    {
        private readonly TaskCompletionSource<Stream> ready = new();
        private readonly TaskCompletionSource done = new();

        public async Task WriteAsync(string text)
        {
            var stream = await ready.Task;
            await stream.WriteAsync(Encoding.ASCII.GetBytes(text));
            await stream.FlushAsync();
        }

        public void Complete() => done.TrySetResult();

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.FlushAsync();
            ready.TrySetResult(stream);
            await done.Task;
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
