using System.Net;
using System.Net.Sockets;

namespace Mesh.Tests;

/// <summary>A real OpenTelemetry Collector that writes what it receives to a file, one JSON object a line.</summary>
public sealed class OtelCollector : IAsyncDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly int http = FreePorts.One();
    private readonly int grpc = FreePorts.One();
    private ChildProcess? process;

    /// <summary>OTLP over HTTP.</summary>
    public string Http => $"http://127.0.0.1:{http}";

    /// <summary>OTLP over gRPC.</summary>
    public string Grpc => $"http://127.0.0.1:{grpc}";

    /// <summary>Starts one; skips the test when there is none to start.</summary>
    public static async Task<OtelCollector> StartAsync()
    {
        var program = ExternalProgram.Require("otel-collector");
        var collector = new OtelCollector();
        await File.WriteAllTextAsync(collector.folder["collector.yaml"], $$"""
            receivers:
              otlp:
                protocols:
                  http: { endpoint: "127.0.0.1:{{collector.http}}" }
                  grpc: { endpoint: "127.0.0.1:{{collector.grpc}}" }
            exporters:
              file: { path: "{{collector.folder["received"]}}" }
            service:
              telemetry:
                metrics: { level: none }
              pipelines:
                metrics: { receivers: [otlp], exporters: [file] }
                traces: { receivers: [otlp], exporters: [file] }
            """);
        collector.process = ChildProcess.Start(program, ["--config", collector.folder["collector.yaml"]]);
        await Eventually.HoldsAsync(async () => await AnswersAsync(collector.http) && await AnswersAsync(collector.grpc), "the collector listens");
        return collector;
    }

    /// <summary>Everything received, once it contains all of <paramref name="parts"/>.</summary>
    public async Task<string> ReceivesAsync(params string[] parts)
    {
        var text = "";
        await Eventually.PassesAsync(async () =>
        {
            text = File.Exists(folder["received"]) ? await File.ReadAllTextAsync(folder["received"]) : "";
            Assert.All(parts, part => Assert.Contains(part, text, StringComparison.Ordinal));
        });
        return text;
    }

    public async ValueTask DisposeAsync()
    {
        if (process is not null) await process.DisposeAsync();
        folder.Dispose();
    }

    private static async Task<bool> AnswersAsync(int port)
    {
        using var client = new TcpClient();
        try
        {
            await client.ConnectAsync(IPAddress.Loopback, port);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
