using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Mesh.EndToEnd.Tests.Traffic;

/// <summary>What is not a plain HTTP/1.1 request crosses two sidecars just as well.</summary>
public sealed class ProtocolTests
{
    private static readonly GrpcMethod<StringValue, StringValue> Chat = new("mesh.test.Chat", "Talk", StringValue.Parser, StringValue.Parser);

    [Fact]
    public async Task Grpc_streams_both_ways_through_an_upstream_listener()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await using var app = await ServeAsync(HttpProtocols.Http2, web => web.MapGrpcDuplex(Chat, async (messages, answers, call) =>
        {
            while (await messages.ReadAsync(call.Cancellation) is { } message)
            {
                if (message.Value == "fail") throw new GrpcException(GrpcStatusCode.FailedPrecondition, "you said so");
                await answers.WriteAsync(new StringValue { Value = "re: " + message.Value }, call.Cancellation);
            }
        }));
        await bed.RunAsync(async () =>
        {
            await bed.AddPortAsync("chat", "chat-1", PortOf(app), "grpc");
            var client = await bed.AddClientAsync("client", "--upstream", "chat=127.0.0.1:0:grpc");
            using var channel = new GrpcChannel(client.Upstream("chat"));
            await Eventually.PassesAsync(async () => Assert.Equal("re: hello", await TalkAsync(channel, "hello")));
            await using (var call = channel.Open(Chat, default, CancellationToken.None))
            {
                for (var i = 0; i < 5; i++)
                {
                    await call.WriteAsync(new StringValue { Value = $"{i}" }, CancellationToken.None);
                    Assert.Equal($"re: {i}", (await call.ReadAsync(CancellationToken.None))!.Value);
                }

                call.Complete();
                Assert.Null(await call.ReadAsync(CancellationToken.None));
            }

            var error = await Assert.ThrowsAsync<GrpcException>(() => TalkAsync(channel, "fail"));
            Assert.Equal((GrpcStatusCode.FailedPrecondition, "you said so"), (error.Status.Code, error.Status.Message));
            await Eventually.PassesAsync(async () => Assert.Matches(
                "istio_requests_total\\{reporter=\"source\"[^}]*request_protocol=\"grpc\",response_code=\"200\",grpc_response_status=\"9\"", await client.MetricsAsync()));
        });
    }

    [Fact]
    public async Task A_tcp_connection_keeps_its_half_close_and_is_counted()
    {
        await using var bed = await MeshTestbed.StartAsync();
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var served = Task.Run(async () =>
        {
            while (true)
            {
                // Answers only after the client has said that it is done.
                using var connection = await listener.AcceptTcpClientAsync();
                using var reader = new StreamReader(connection.GetStream());
                var all = await reader.ReadToEndAsync();
                if (all.Length > 0) await connection.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"got {all.Length}"));
            }
        });
        await bed.RunAsync(async () =>
        {
            await bed.AddPortAsync("db", "db-1", ((IPEndPoint)listener.LocalEndpoint).Port, "tcp");
            var client = await bed.AddClientAsync("client", "--upstream", "db=127.0.0.1:0:tcp");
            await Eventually.PassesAsync(async () => Assert.Equal("got 100000", await SendAllAsync(IPEndPoint.Parse(client.Upstream("db")), new byte[100_000])));
            await Eventually.PassesAsync(async () =>
            {
                var metrics = await client.MetricsAsync();
                Assert.Matches("istio_tcp_received_bytes_total\\{reporter=\"source\"[^}]*destination_service_name=\"db\"[^}]*\\} 100000\n", metrics);
                Assert.Matches("istio_tcp_connections_closed_total\\{reporter=\"source\"[^}]*destination_service_name=\"db\"[^}]*response_flags=\"-\"[^}]*\\} 1\n", metrics);
            });
        });
        listener.Stop();
        await Assert.ThrowsAnyAsync<Exception>(() => served);
    }

    [Theory]
    [InlineData("http")]
    [InlineData("")]
    public async Task WebSockets_and_http2_share_a_port_with_http1(string protocol)
    {
        await using var bed = await MeshTestbed.StartAsync();
        await using var app = await ServeAsync(HttpProtocols.Http1, web =>
        {
            web.UseWebSockets();
            web.Run(async context =>
            {
                if (!context.WebSockets.IsWebSocketRequest)
                {
                    await context.Response.WriteAsync("plain");
                    return;
                }

                using var socket = await context.WebSockets.AcceptWebSocketAsync();
                var buffer = new byte[100];
                var message = await socket.ReceiveAsync(buffer.AsMemory(), context.RequestAborted);
                await socket.SendAsync(buffer.AsMemory(0, message.Count), WebSocketMessageType.Text, endOfMessage: true, context.RequestAborted);
                await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, "bye", context.RequestAborted);
            });
        });
        await bed.RunAsync(async () =>
        {
            await bed.AddPortAsync("ws", "ws-1", PortOf(app), protocol);
            var client = await bed.AddClientAsync("client", "--upstream", "ws=127.0.0.1:0");
            using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false });
            await Eventually.PassesAsync(async () => Assert.Equal("plain", await http.GetStringAsync($"http://{client.Upstream("ws")}/")));
            using var socket = new ClientWebSocket();
            await socket.ConnectAsync(new Uri($"ws://{client.Upstream("ws")}/"), CancellationToken.None);
            await socket.SendAsync(Encoding.UTF8.GetBytes("hello"), WebSocketMessageType.Text, endOfMessage: true, CancellationToken.None);
            var buffer = new byte[100];
            var answer = await socket.ReceiveAsync(buffer, CancellationToken.None);
            Assert.Equal("hello", Encoding.UTF8.GetString(buffer, 0, answer.Count));
            await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, "bye", CancellationToken.None);
        });
    }

    private static async Task<string> TalkAsync(GrpcChannel channel, string text)
    {
        await using var call = channel.Open(Chat, default, CancellationToken.None);
        await call.WriteAsync(new StringValue { Value = text }, CancellationToken.None);
        call.Complete();
        return (await call.ReadOnlyAsync(CancellationToken.None)).Value;
    }

    private static async Task<string> SendAllAsync(IPEndPoint to, byte[] bytes)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(to);
        var stream = client.GetStream();
        await stream.WriteAsync(bytes);
        client.Client.Shutdown(SocketShutdown.Send);
        using var reader = new StreamReader(stream);
        return await reader.ReadToEndAsync();
    }

    private static int PortOf(WebApplication app) => new Uri(app.Urls.Single()).Port;

    private static async Task<WebApplication> ServeAsync(HttpProtocols protocols, Action<WebApplication> map)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            GrpcKestrel.Configure(kestrel);
            kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = protocols);
        });
        var app = builder.Build();
        map(app);
        await app.StartAsync();
        return app;
    }
}
