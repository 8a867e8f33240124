using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Mesh.Api.Tests.Grpc;

/// <summary>A real Kestrel on a free port (or a unix socket) with one method of each kind, over the string wrapper message.</summary>
internal sealed class EchoServer : IAsyncDisposable
{
    private const string Service = "test.Echo";
    private readonly WebApplication _app;

    public static readonly GrpcMethod<StringValue, StringValue> Say = Method("Say");
    public static readonly GrpcMethod<StringValue, StringValue> Count = Method("Count");
    public static readonly GrpcMethod<StringValue, StringValue> Join = Method("Join");
    public static readonly GrpcMethod<StringValue, StringValue> Chat = Method("Chat");
    public static readonly GrpcMethod<StringValue, StringValue> Missing = Method("Missing");

    private EchoServer(WebApplication app) => _app = app;

    public string Address { get; private set; } = "";

    public int Port => new Uri("http://" + Address).Port;

    /// <summary>Completes when a handler of <c>wait</c> saw its cancellation.</summary>
    public TaskCompletionSource Cancelled { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when a handler of <c>wait</c> runs.</summary>
    public TaskCompletionSource Waiting { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Lets a handler of <c>stubborn</c> end, which heeds no cancellation.</summary>
    public TaskCompletionSource Release { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public static async Task<EchoServer> StartAsync(string? unixPath = null, GrpcServerOptions? options = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            GrpcKestrel.Configure(kestrel);
            if (unixPath is null)
                kestrel.Listen(System.Net.IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http2);
            else
                kestrel.ListenUnixSocket(unixPath, listen => listen.Protocols = HttpProtocols.Http2);
        });
        var app = builder.Build();
        var server = new EchoServer(app);
        app.MapGrpcUnary(Say, server.SayAsync, options);
        app.MapGrpcServerStreaming(Count, CountAsync, options);
        app.MapGrpcClientStreaming(Join, JoinAsync, options);
        app.MapGrpcDuplex(Chat, ChatAsync, options);
        app.MapGrpcUnknown();
        await app.StartAsync();
        server.Address = unixPath is null ? new Uri(app.Urls.First()).Authority : "unix:" + unixPath;
        return server;
    }

    public async ValueTask DisposeAsync()
    {
        Release.TrySetResult();
        using var now = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await _app.StopAsync(now.Token);
        await _app.DisposeAsync();
    }

    private async Task<StringValue> SayAsync(StringValue request, ServerCallContext context)
    {
        switch (request.Value)
        {
            case "wait":
                Waiting.TrySetResult();
                try
                {
                    await Task.Delay(Timeout.Infinite, context.Cancellation);
                }
                catch (OperationCanceledException)
                {
                    Cancelled.TrySetResult();
                    throw;
                }

                break;
            case "stubborn":
                await Release.Task;
                break;
            case "throw":
                throw new InvalidOperationException("secret detail");
            case "metadata":
                return new() { Value = context.Http.Request.Headers["x-test"].ToString() };
            case var text when text.StartsWith("fail:", StringComparison.Ordinal):
                var parts = text.Split(':', 3);
                throw new GrpcException(System.Enum.Parse<GrpcStatusCode>(parts[1]), parts[2]);
        }

        return new() { Value = request.Value };
    }

    private static async Task CountAsync(StringValue request, MessageWriter<StringValue> responses, ServerCallContext context)
    {
        for (var i = 1; i <= int.Parse(request.Value); i++)
            await responses.WriteAsync(new() { Value = i.ToString() }, context.Cancellation);
        if (context.Http.Request.Headers.ContainsKey("x-fail"))
            throw new GrpcException(GrpcStatusCode.Aborted, "after the messages");
    }

    private static async Task<StringValue> JoinAsync(MessageReader<StringValue> requests, ServerCallContext context)
    {
        List<string> all = [];
        await foreach (var request in requests.ReadAllAsync(context.Cancellation))
            all.Add(request.Value);
        return new() { Value = string.Join(',', all) };
    }

    private static async Task ChatAsync(MessageReader<StringValue> requests, MessageWriter<StringValue> responses, ServerCallContext context)
    {
        await foreach (var request in requests.ReadAllAsync(context.Cancellation))
        {
            if (request.Value == "refuse")
                throw new GrpcException(GrpcStatusCode.FailedPrecondition, "not now");
            await responses.WriteAsync(new() { Value = "re: " + request.Value }, context.Cancellation);
        }

        await responses.WriteAsync(new() { Value = "bye" }, context.Cancellation);
    }

    private static GrpcMethod<StringValue, StringValue> Method(string name) => new(Service, name, StringValue.Parser, StringValue.Parser);
}
