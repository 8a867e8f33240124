using System.Diagnostics;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;

namespace Mesh.Api.Tests.Grpc;

/// <summary>Our two ends against gRPC's C core, through its Python package (Debian: python3-grpcio).</summary>
public sealed class PythonInteropTests
{
    private const string Python = "/usr/bin/python3";
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(60);
    private static readonly Lazy<bool> Available = new(() => File.Exists(Python) && RunToEnd(Start("-c", "import grpc")).ExitCode == 0);

    [SkippableFact]
    public async Task Their_client_calls_our_server()
    {
        SkipUnlessAvailable();
        await using var server = await EchoServer.StartAsync();

        var (exitCode, output) = RunToEnd(Start(Script, "client", server.Address));

        Assert.True(exitCode == 0, output);
        Assert.Contains("cancelled: ok", output, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Our_client_calls_their_server()
    {
        SkipUnlessAvailable();
        using var bound = new CancellationTokenSource(Bound);
        using var python = Start(Script, "server");
        try
        {
            var port = await python.StandardOutput.ReadLineAsync(bound.Token);
            using var channel = new GrpcChannel($"127.0.0.1:{port}");

            Assert.Equal("hello", (await channel.UnaryAsync(EchoServer.Say, Text("hello"), default, bound.Token)).Value);
            var counted = await channel.ServerStreamAsync(EchoServer.Count, Text("3"), default, bound.Token).ToListAsync(bound.Token);
            Assert.Equal(["1", "2", "3"], counted.Select(m => m.Value));
            await CheckStreamsAsync(channel, bound.Token);
            await CheckFailuresAsync(channel, bound.Token);
        }
        finally
        {
            python.Kill();
        }
    }

    private static async Task CheckStreamsAsync(GrpcChannel channel, CancellationToken bound)
    {
        await using var join = channel.Open(EchoServer.Join, default, bound);
        await join.WriteAsync(Text("a"), bound);
        await join.WriteAsync(Text("b"), bound);
        join.Complete();
        Assert.Equal("a,b", (await join.ReadOnlyAsync(bound)).Value);

        await using var chat = channel.Open(EchoServer.Chat, default, bound);
        await chat.WriteAsync(Text("one"), bound);
        Assert.Equal("re: one", (await chat.ReadAsync(bound))?.Value);
        chat.Complete();
        Assert.Null(await chat.ReadAsync(bound));
    }

    private static async Task CheckFailuresAsync(GrpcChannel channel, CancellationToken bound)
    {
        var options = new CallOptions { Timeout = TimeSpan.FromMilliseconds(200) };
        var failed = await Assert.ThrowsAsync<GrpcException>(() => channel.UnaryAsync(EchoServer.Say, Text("fail"), default, bound));
        var late = await Assert.ThrowsAsync<GrpcException>(() => channel.UnaryAsync(EchoServer.Say, Text("wait"), options, bound));
        var missing = await Assert.ThrowsAsync<GrpcException>(() => channel.UnaryAsync(EchoServer.Missing, Text(""), default, bound));

        Assert.Equal(new GrpcStatus(GrpcStatusCode.NotFound, "100 % žluť"), failed.Status);
        Assert.Equal(GrpcStatusCode.DeadlineExceeded, late.Code);
        Assert.Equal(GrpcStatusCode.Unimplemented, missing.Code);
    }

    private static string Script => Path.Combine(AppContext.BaseDirectory, "python", "peer.py");

    private static StringValue Text(string text) => new() { Value = text };

    private static void SkipUnlessAvailable() =>
        Skip.IfNot(Available.Value, "python3 with grpc is not installed (Debian: python3-grpcio)");

    private static Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo(Python, arguments)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment.Remove("http_proxy");
        return Process.Start(start)!;
    }

    private static (int ExitCode, string Output) RunToEnd(Process process)
    {
        using (process)
        {
            var error = process.StandardError.ReadToEndAsync();
            var output = process.StandardOutput.ReadToEnd();
            if (!process.WaitForExit(Bound))
                process.Kill();
            return (process.ExitCode, output + error.GetAwaiter().GetResult());
        }
    }
}
