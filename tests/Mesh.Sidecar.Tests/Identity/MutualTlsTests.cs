using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;
using Microsoft.AspNetCore.Http;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>Two sidecars with mutual TLS between them: what goes in at one comes out at the other, for every protocol.</summary>
public sealed class MutualTlsTests
{
    [Fact]
    public async Task Http1RequestsShareAConnection()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        using var client = await pair.Client.ConnectAsync();
        for (var i = 0; i < 20; i++)
        {
            await client.SendAsync($"POST /{i} HTTP/1.1\r\nHost: cart\r\nContent-Length: 5\r\n\r\nbody{i % 10}");
            var answer = await client.ReadAnswerAsync();
            Assert.Equal((200, "hello"), (answer!.Status, answer.Body));
        }

        Assert.Equal(20, origin.Requests.Count());
        Assert.Equal("body9", origin.Requests.Last().Body);
        Assert.Equal(1, pair.ServerSecurity.Connections.Open);
        Assert.Equal(1, pair.Client.Sink.Own.Handshakes.ValueOf("outbound"));
        Assert.Equal(1, pair.Server.Sink.Own.Handshakes.ValueOf("inbound"));
    }

    [Theory]
    [InlineData(100)]
    [InlineData(5_000)]
    [InlineData(100_000)]
    [InlineData(3_000_000)]
    public async Task BodiesOfAnySizeGoBothWays(int size)
    {
        var body = new string('y', size);
        await using var origin = new RecordingOrigin(async c =>
        {
            while (await c.ReadRequestAsync() is { } request) await c.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {request.Body.Length}\r\n\r\n{request.Body}");
        });
        await using var pair = await Pair.HttpAsync(origin.Address);
        using var client = await pair.Client.ConnectAsync();
        for (var i = 0; i < 2; i++)
        {
            await client.SendAsync($"POST / HTTP/1.1\r\nHost: cart\r\nContent-Length: {size}\r\n\r\n{body}");
            var answer = await client.ReadAnswerAsync();
            Assert.Equal(200, answer!.Status);
            Assert.True(answer.Body == body);
        }
    }

    [Theory]
    [InlineData(UpstreamProtocol.Downstream)]
    [InlineData(UpstreamProtocol.Http2)]
    internal async Task GrpcKeepsItsTrailersAndStreams(UpstreamProtocol protocol)
    {
        await using var origin = await KestrelOrigin.StartAsync(async context =>
        {
            Assert.Equal("HTTP/2", context.Request.Protocol);
            context.Response.ContentType = "application/grpc";
            await context.Response.StartAsync();
            await context.Request.Body.CopyToAsync(context.Response.Body);
            context.Response.AppendTrailer("grpc-status", "0");
        });
        await using var pair = await Pair.HttpAsync(origin.Address, protocol);
        using var client = new HttpMessageInvoker(new SocketsHttpHandler());
        var calls = Enumerable.Range(0, 50).Select(async i =>
        {
            var body = new string((char)('a' + i % 26), 1 + i * 977);
            using var message = new HttpRequestMessage(HttpMethod.Post, $"http://{pair.Client.Port}/echo")
            {
                Version = HttpVersion.Version20,
                VersionPolicy = HttpVersionPolicy.RequestVersionExact,
                Content = new ByteArrayContent(Encoding.ASCII.GetBytes(body)),
            };
            message.Headers.Host = "cart";
            message.Content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
            using var answer = await client.SendAsync(message, CancellationToken.None);
            Assert.Equal(body, await answer.Content.ReadAsStringAsync());
            Assert.Equal(["0"], answer.TrailingHeaders.GetValues("grpc-status"));
        });
        await Task.WhenAll(calls);
        Assert.InRange(pair.ServerSecurity.Connections.Open, 1, 4);
    }

    [Theory]
    [InlineData("1.1")]
    [InlineData("2.0")]
    public async Task WithoutAlpnTheFirstBytesTellWhichHttpItIs(string version)
    {
        await using var http1 = await KestrelOrigin.StartAsync(c => c.Response.WriteAsync(c.Request.Protocol), Microsoft.AspNetCore.Server.Kestrel.Core.HttpProtocols.Http1);
        await using var http2 = await KestrelOrigin.StartAsync(c => c.Response.WriteAsync(c.Request.Protocol));
        var app = version == "2.0" ? http2.Address : http1.Address;
        await using var pair = await Pair.HttpAsync(app);
        var any = Pair.Chain("mtls-http") with { Http = new HttpConnectionManager { Routes = Bed.Table(Bed.Cluster(UpstreamProtocol.Downstream, app)) } };
        pair.Server.Snapshots.Publish(Bed.Snap(Pair.MutualListener(pair.Server.Port, Bed.Table(Bed.Cluster(app)), any)));
        var own = pair.Authority.For(Authority.Web);
        using var client = new HttpMessageInvoker(new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancel) =>
            {
                var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await socket.ConnectAsync(pair.Server.Port, cancel);
                var tls = new System.Net.Security.SslStream(new NetworkStream(socket, ownsSocket: true));
                await tls.AuthenticateAsClientAsync(new() { TargetHost = "cart", ClientCertificateContext = own.Svid.TlsContext, RemoteCertificateValidationCallback = (_, _, _, _) => true }, cancel);
                return tls;
            },
        });
        using var message = new HttpRequestMessage(HttpMethod.Get, $"http://{pair.Server.Port}/") { Version = new Version(version), VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        using var answer = await client.SendAsync(message, CancellationToken.None);
        Assert.Equal(version == "2.0" ? "HTTP/2" : "HTTP/1.1", await answer.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task ConnectionsThatEndedAreForgotten()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        var asking = Enumerable.Range(0, 30).Select(_ => pair.Client.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\n\r\n"));
        foreach (var answer in await Task.WhenAll(asking)) Assert.Equal(200, answer!.Status);
        Assert.NotEqual(0, pair.Server.Sink.Own.DownstreamOpen.Value);
        await pair.Client.DisposeAsync();
        await Eventually.TrueAsync(() => pair.Server.Sink.Own.DownstreamOpen.Value == 0);
        Assert.Equal(0, pair.ServerSecurity.Connections.Open);
        Assert.Equal(0, pair.ClientSecurity.Connections.Open);
    }

    [Fact]
    public async Task TcpCarriesBytesAndHalfCloses()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadToEndAsync();
            await c.SendAsync($"got {c.Raw.Length} bytes");
        });
        await using var pair = await Pair.TcpAsync(origin.Address);
        using var client = await pair.Client.ConnectAsync();
        var sent = new string('x', 3_000_000);
        await client.SendAsync(sent);
        client.ShutdownSend();
        Assert.Equal("got 3000000 bytes", await client.ReadToEndAsync());
        Assert.False(client.WasReset);
        Assert.True(origin.AllBytes == sent);
        await Eventually.TrueAsync(() => pair.ServerSecurity.Connections.Open == 0 && pair.ClientSecurity.Connections.Open == 0);
    }

    [Fact]
    public async Task TheServerOfATcpConnectionMaySpeakFirstAndEndFirst()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.SendAsync("220 welcome\r\n");
            c.Socket.Shutdown(SocketShutdown.Send);
            await c.ReadToEndAsync();
        });
        await using var pair = await Pair.TcpAsync(origin.Address);
        using var client = await pair.Client.ConnectAsync();
        Assert.Equal("220 welcome\r\n", await client.ReadToEndAsync());
        await client.SendAsync("still talking");
        client.ShutdownSend();
        await Eventually.TrueAsync(() => origin.AllBytes == "still talking");
    }

    [Fact]
    public async Task AResetIsNoEndOnTheOtherSide()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.SendAsync("hi");
            await c.ReadToEndAsync();
        });
        await using var pair = await Pair.TcpAsync(origin.Address);
        using var client = await pair.Client.ConnectAsync();
        await client.ReadAsync(2);
        client.Reset();
        await Eventually.TrueAsync(() => origin.Connections.First().WasReset);
    }
}
