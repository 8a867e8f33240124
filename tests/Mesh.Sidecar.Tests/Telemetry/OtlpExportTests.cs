using System.Net;
using System.Net.Sockets;
using Mesh.Api.Logging;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Telemetry;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Telemetry;

public class OtlpExportTests
{
    private const string Parent = "00-2af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    [SkippableTheory]
    [InlineData("http")]
    [InlineData("grpc")]
    public async Task A_real_collector_receives_metrics_and_sampled_spans(string protocol)
    {
        var program = ExternalProgram.Require("otel-collector");
        using var folder = new TemporaryFolder();
        var (http, grpc) = (FreePort(), FreePort());
        var output = folder["received.jsonl"];
        await using var collector = await StartCollectorAsync(program, folder["collector.yaml"], http, grpc, output);
        try
        {
            if (protocol == "grpc") Environment.SetEnvironmentVariable("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
            var time = TimeProvider.System;
            var sink = TelemetrySink.Plain(time);
            using (OtlpExport.Start($"http://127.0.0.1:{(protocol == "grpc" ? grpc : http)}", new OtlpResource("web", "shop", "v1", "web-1"), Log.Silent))
            {
                var facts = Samples.Request(time);
                facts.Span = Spans.Start(Direction.Outbound, "GET", Parent, null);
                Assert.NotNull(facts.Span);
                sink.Request(facts);
                var unsampled = Samples.Request(time);
                unsampled.Span = Spans.Start(Direction.Outbound, "GET", Parent.Replace("-01", "-00", StringComparison.Ordinal), null);
                unsampled.Path = "/unsampled";
                sink.Request(unsampled);
            }

            var received = await ReadUntilAsync(output, "2af7651916cd43dd8448eb211c80319c", "istio_requests_total", "istio_request_duration_milliseconds");
            Assert.Contains("\"service.namespace\",\"value\":{\"stringValue\":\"shop\"}", received, StringComparison.Ordinal);
            Assert.Contains("b7ad6b7169203331", received, StringComparison.Ordinal);
            Assert.DoesNotContain("/unsampled", received, StringComparison.Ordinal);
        }
        finally
        {
            Environment.SetEnvironmentVariable("OTEL_EXPORTER_OTLP_PROTOCOL", null);
        }
    }

    [Theory]
    [InlineData("collector:4317")]
    [InlineData("ftp://x")]
    public void A_bad_endpoint_is_refused_in_words(string url)
    {
        var error = Assert.Throws<ArgumentException>(() => OtlpExport.Start(url, new OtlpResource("a", "b", "c", "d"), Log.Silent));
        Assert.Contains("expected http://host:port", error.Message, StringComparison.Ordinal);
    }

    private static async Task<ChildProcess> StartCollectorAsync(string program, string config, int http, int grpc, string output)
    {
        await File.WriteAllTextAsync(config, $$"""
            receivers:
              otlp:
                protocols:
                  http: { endpoint: "127.0.0.1:{{http}}" }
                  grpc: { endpoint: "127.0.0.1:{{grpc}}" }
            exporters:
              file: { path: "{{output}}" }
            service:
              telemetry:
                metrics: { level: none }
              pipelines:
                metrics: { receivers: [otlp], exporters: [file] }
                traces: { receivers: [otlp], exporters: [file] }
            """);
        var process = ChildProcess.Start(program, ["--config", config]);
        await Eventually.HoldsAsync(async () => await AnswersAsync(http) && await AnswersAsync(grpc), "the collector listens");
        return process;
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

    private static async Task<string> ReadUntilAsync(string file, params string[] parts)
    {
        var text = "";
        await Eventually.PassesAsync(async () =>
        {
            text = await File.ReadAllTextAsync(file);
            Assert.All(parts, part => Assert.Contains(part, text, StringComparison.Ordinal));
        });
        return text;
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
