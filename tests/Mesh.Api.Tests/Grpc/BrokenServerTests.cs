using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Mesh.Api.Tests.Grpc;

/// <summary>What our client makes of servers that answer wrongly.</summary>
public sealed class BrokenServerTests : IAsyncLifetime
{
    private readonly CancellationTokenSource _bound = new(TimeSpan.FromSeconds(20));
    private WebApplication _app = null!;
    private RequestDelegate _answer = _ => Task.CompletedTask;

    public async Task InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k => k.Listen(System.Net.IPAddress.Loopback, 0, l => l.Protocols = HttpProtocols.Http2));
        _app = builder.Build();
        _app.Run(http => _answer(http));
        await _app.StartAsync();
    }

    public async Task DisposeAsync()
    {
        await _app.DisposeAsync();
        _bound.Dispose();
    }

    [Theory]
    [InlineData(503, null, null, null, GrpcStatusCode.Unavailable)]
    [InlineData(404, "text/html", null, null, GrpcStatusCode.Unimplemented)]
    [InlineData(200, "text/html", null, null, GrpcStatusCode.Unknown)]
    [InlineData(200, "application/grpc", "5", null, GrpcStatusCode.NotFound)]
    [InlineData(503, "application/grpc", "16", null, GrpcStatusCode.Unauthenticated)] // Its own word counts before HTTP's.
    [InlineData(200, "application/grpc", "nonsense", null, GrpcStatusCode.Unknown)]
    [InlineData(200, "application/grpc", "0", null, GrpcStatusCode.Internal)] // OK without the message.
    [InlineData(200, "application/grpc", null, new byte[] { 0, 0, 0, 0, 0 }, GrpcStatusCode.Unknown)] // No status at the end.
    [InlineData(200, "application/grpc", null, new byte[] { 1, 0, 0, 0, 0 }, GrpcStatusCode.Unimplemented)]
    [InlineData(200, "application/grpc", null, new byte[] { 0, 0, 0 }, GrpcStatusCode.Internal)]
    [InlineData(200, "application/grpc", null, new byte[] { 0, 0, 0, 0, 1, 255 }, GrpcStatusCode.Internal)]
    [InlineData(200, "application/grpc", null, new byte[] { 0, 255, 255, 255, 255 }, GrpcStatusCode.ResourceExhausted)]
    public async Task Each_wrong_answer_is_a_status(int http, string? contentType, string? grpcStatus, byte[]? body, GrpcStatusCode expected)
    {
        _answer = async context =>
        {
            context.Response.StatusCode = http;
            context.Response.ContentType = contentType;
            if (grpcStatus is not null)
                context.Response.Headers["grpc-status"] = grpcStatus;
            if (body is not null)
                await context.Response.Body.WriteAsync(body);
        };

        Assert.Equal(expected, (await CallAsync()).Code);
    }

    [Theory]
    [InlineData(0x7, GrpcStatusCode.Unavailable)]
    [InlineData(0x8, GrpcStatusCode.Cancelled)]
    [InlineData(0xb, GrpcStatusCode.ResourceExhausted)]
    [InlineData(0x2, GrpcStatusCode.Internal)]
    public async Task A_reset_stream_is_the_status_its_error_stands_for(int http2Error, GrpcStatusCode expected)
    {
        _answer = context =>
        {
            context.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpResetFeature>()!.Reset(http2Error);
            return Task.CompletedTask;
        };

        Assert.Equal(expected, (await CallAsync()).Code);
    }

    private async Task<GrpcException> CallAsync()
    {
        using var channel = new GrpcChannel(_app.Urls.First());
        return await Assert.ThrowsAsync<GrpcException>(
            () => channel.UnaryAsync(EchoServer.Say, new StringValue(), default, _bound.Token));
    }
}
