using Mesh.Api.Logging;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Telemetry;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Telemetry;

/// <summary>The export listens to the spans of the whole process, and reads its environment: nothing else runs meanwhile.</summary>
[Collection("alone")]
public class OtlpExportTests
{
    private const string Parent = "00-2af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    [SkippableTheory]
    [InlineData("http")]
    [LongInlineData("grpc")]
    public async Task A_real_collector_receives_metrics_and_sampled_spans(string protocol)
    {
        await using var collector = await OtelCollector.StartAsync();
        try
        {
            if (protocol == "grpc") Environment.SetEnvironmentVariable("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
            var time = TimeProvider.System;
            var sink = TelemetrySink.Plain(time);
            using (OtlpExport.Start(protocol == "grpc" ? collector.Grpc : collector.Http, new OtlpResource("web", "shop", "v1", "web-1"), Log.Silent))
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

            var received = await collector.ReceivesAsync("2af7651916cd43dd8448eb211c80319c", "istio_requests_total", "istio_request_duration_milliseconds");
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
}
