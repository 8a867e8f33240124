using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;

namespace Mesh.Api.Tests.Grpc;

/// <summary>What is no gRPC call, or a broken one: a status each time, and the server goes on.</summary>
public sealed class BadRequestTests : IAsyncLifetime
{
    private readonly CancellationTokenSource _bound = new(TimeSpan.FromSeconds(20));
    private EchoServer _server = null!;
    private HttpMessageInvoker _http = null!;

    public async Task InitializeAsync()
    {
        _server = await EchoServer.StartAsync();
        _http = new HttpMessageInvoker(new SocketsHttpHandler());
    }

    public async Task DisposeAsync()
    {
        _http.Dispose();
        await _server.DisposeAsync();
        _bound.Dispose();
    }

    [Theory]
    [InlineData("compressed flag", new byte[] { 1, 0, 0, 0, 0 }, "12")]
    [InlineData("unknown flag", new byte[] { 7, 0, 0, 0, 0 }, "13")]
    [InlineData("half a prefix", new byte[] { 0, 0, 0 }, "13")]
    [InlineData("half a message", new byte[] { 0, 0, 0, 0, 9, 10, 1 }, "13")]
    [InlineData("no message", new byte[0], "13")]
    [InlineData("two messages", new byte[] { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, "13")]
    [InlineData("garbage in the message", new byte[] { 0, 0, 0, 0, 3, 10, 127, 1 }, "13")]
    [InlineData("invalid UTF-8 in a string", new byte[] { 0, 0, 0, 0, 3, 10, 1, 255 }, null)]
    [InlineData("2 GiB announced", new byte[] { 0, 0x7f, 255, 255, 255, 0 }, "8")]
    [InlineData("4 GiB announced", new byte[] { 0, 255, 255, 255, 255, 0 }, "8")]
    [InlineData("text", new byte[] { 72, 101, 108, 108, 111, 32, 119 }, "13")]
    public async Task Broken_frames_get_a_status(string what, byte[] body, string? status)
    {
        using var response = await SendAsync(HttpMethod.Post, "/test.Echo/Say", "application/grpc", body);

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        var actual = await StatusAsync(response);
        if (status is null)
            Assert.NotNull(actual);
        else
            Assert.True(status == actual, $"{what}: expected {status}, got {actual}");
        await AssertStillServesAsync();
    }

    [Theory]
    [InlineData("application/grpc", HttpStatusCode.OK)]
    [InlineData("application/grpc+proto", HttpStatusCode.OK)]
    [InlineData("Application/gRPC; charset=utf-8", HttpStatusCode.OK)]
    [InlineData("application/grpc+json", HttpStatusCode.UnsupportedMediaType)]
    [InlineData("application/grpc-web", HttpStatusCode.UnsupportedMediaType)]
    [InlineData("application/json", HttpStatusCode.UnsupportedMediaType)]
    [InlineData(null, HttpStatusCode.UnsupportedMediaType)]
    public async Task Content_type_decides(string? contentType, HttpStatusCode status)
    {
        using var response = await SendAsync(HttpMethod.Post, "/test.Echo/Say", contentType, [0, 0, 0, 0, 0]);

        Assert.Equal(status, response.StatusCode);
    }

    [Fact]
    public async Task Only_post_is_a_call()
    {
        using var response = await SendAsync(HttpMethod.Put, "/test.Echo/Say", "application/grpc", [0, 0, 0, 0, 0]);

        Assert.Equal(HttpStatusCode.MethodNotAllowed, response.StatusCode);
        Assert.Equal(["POST"], response.Content.Headers.Allow);
    }

    [Theory]
    [InlineData("application/grpc", HttpStatusCode.OK, "12")]
    [InlineData("text/plain", HttpStatusCode.NotFound, null)]
    public async Task Unknown_paths_are_answered_in_the_tongue_they_asked_in(string contentType, HttpStatusCode http, string? grpc)
    {
        using var response = await SendAsync(HttpMethod.Post, "/no.Such/Thing", contentType, []);

        Assert.Equal(http, response.StatusCode);
        Assert.Equal(grpc, await StatusAsync(response));
    }

    [Fact]
    public async Task An_error_before_any_message_has_no_body_and_its_status_in_the_head()
    {
        using var response = await SendAsync(HttpMethod.Post, "/test.Echo/Say", "application/grpc", [1, 0, 0, 0, 0]);

        Assert.True(response.Headers.Contains("grpc-status"));
        Assert.Empty(await response.Content.ReadAsByteArrayAsync());
    }

    [Theory]
    [InlineData("")]
    [InlineData("GET / HTTP/1.1\r\nHost: x\r\n\r\n")]
    [InlineData("\0\u0001\u0002\u0003 no protocol at all \u00ff\u00fe")]
    [InlineData("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n and then no frames but text, which reads as a huge frame")]
    [InlineData("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0\0\0\u0005\u0001\u0005\0\0\0\u0001\u00ff\u00ff\u00ff\u00ff\u00ff")]
    public async Task Garbage_on_the_connection_ends_that_connection_only(string bytes)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, _server.Port, _bound.Token);
        await socket.SendAsync(System.Text.Encoding.Latin1.GetBytes(bytes), _bound.Token);
        socket.Shutdown(SocketShutdown.Send);

        // The server ends it: by a close or by a reset.
        var buffer = new byte[4096];
        try
        {
            while (await socket.ReceiveAsync(buffer, _bound.Token) > 0)
            {
            }
        }
        catch (SocketException)
        {
        }

        await AssertStillServesAsync();
    }

    [Fact]
    public async Task A_server_that_is_none_gets_a_status_too()
    {
        using var garbage = new TcpListener(IPAddress.Loopback, 0);
        garbage.Start();
        using var channel = new GrpcChannel(garbage.LocalEndpoint.ToString()!);
        var call = channel.UnaryAsync(EchoServer.Say, new StringValue(), default, _bound.Token);
        using var peer = await garbage.AcceptSocketAsync(_bound.Token);
        await peer.SendAsync("SSH-2.0-OpenSSH_9.2\r\n"u8.ToArray(), _bound.Token);
        peer.Shutdown(SocketShutdown.Both);

        var e = await Assert.ThrowsAsync<GrpcException>(() => call);

        Assert.True(e.Code is GrpcStatusCode.Unavailable or GrpcStatusCode.Internal, e.ToString());
    }

    [Fact]
    public async Task A_peer_that_falls_silent_is_noticed_by_its_missing_ping()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var options = new GrpcChannelOptions { KeepAlivePingDelay = TimeSpan.FromSeconds(1), KeepAlivePingTimeout = TimeSpan.FromSeconds(1) };
        using var channel = new GrpcChannel(listener.LocalEndpoint.ToString()!, options);
        await using var call = channel.Open(EchoServer.Chat, default, _bound.Token);
        var read = call.ReadAsync(_bound.Token).AsTask();
        using var peer = await listener.AcceptSocketAsync(_bound.Token);

        await peer.SendAsync(new byte[] { 0, 0, 0, 4, 0, 0, 0, 0, 0 }, _bound.Token); // SETTINGS, and never a word after it.

        var e = await Assert.ThrowsAsync<GrpcException>(() => read);
        Assert.Equal(GrpcStatusCode.Unavailable, e.Code);
    }

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, string? contentType, byte[] body)
    {
        using var request = new HttpRequestMessage(method, new Uri($"http://{_server.Address}{path}"))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(body),
        };
        if (contentType is not null)
            request.Content.Headers.ContentType = MediaTypeHeaderValue.Parse(contentType);
        return await _http.SendAsync(request, _bound.Token);
    }

    private async Task<string?> StatusAsync(HttpResponseMessage response)
    {
        await response.Content.ReadAsByteArrayAsync(_bound.Token);
        if (response.Headers.TryGetValues("grpc-status", out var head))
            return head.Single();
        return response.TrailingHeaders.TryGetValues("grpc-status", out var trailer) ? trailer.Single() : null;
    }

    private async Task AssertStillServesAsync()
    {
        using var channel = new GrpcChannel(_server.Address);
        Assert.Equal("ok", (await channel.UnaryAsync(EchoServer.Say, new StringValue { Value = "ok" }, default, _bound.Token)).Value);
    }
}
