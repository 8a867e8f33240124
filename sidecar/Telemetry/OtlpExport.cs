using System.Runtime.CompilerServices;
using Mesh.Api.Logging;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// Sends metrics and spans by OTLP. Made only when an endpoint is configured, so that nobody else pays for the SDK's memory and start.
/// Disposal flushes, for at most the exporter's timeout.
/// </summary>
internal sealed class OtlpExport : IDisposable
{
    private const string ProtocolVariable = "OTEL_EXPORTER_OTLP_PROTOCOL";
    private const int ExportTimeoutMilliseconds = 5000;
    private readonly MeterProvider metrics;
    private readonly TracerProvider traces;

    private OtlpExport(Uri endpoint, OtlpExportProtocol protocol, OtlpResource about)
    {
        var resource = ResourceBuilder.CreateEmpty()
            .AddService(about.Service, about.Namespace, about.Version, autoGenerateServiceInstanceId: false, about.Workload)
            .AddEnvironmentVariableDetector();
        metrics = Sdk.CreateMeterProviderBuilder()
            .SetResourceBuilder(resource)
            .AddMeter(Instruments.MeterName)
            .AddOtlpExporter((otlp, reader) =>
            {
                Configure(otlp, endpoint, protocol, "v1/metrics");
                reader.PeriodicExportingMetricReaderOptions.ExportIntervalMilliseconds ??= 15_000;
            })
            .Build();
        traces = Sdk.CreateTracerProviderBuilder()
            .SetResourceBuilder(resource)
            .AddSource(Spans.SourceName)
            .SetSampler(new ParentBasedSampler(new TraceIdRatioBasedSampler(about.SampleShare)))
            .AddOtlpExporter(otlp => Configure(otlp, endpoint, protocol, "v1/traces"))
            .Build();
    }

    /// <summary>
    /// Starts exporting to <paramref name="url"/> (the flag), or to OTEL_EXPORTER_OTLP_ENDPOINT; null when neither is set.
    /// The protocol is OTEL_EXPORTER_OTLP_PROTOCOL, else gRPC on port 4317 and http/protobuf elsewhere.
    /// </summary>
    public static IDisposable? Start(string? url, OtlpResource about, Log log)
    {
        url ??= Environment.GetEnvironmentVariable("OTEL_EXPORTER_OTLP_ENDPOINT");
        return string.IsNullOrEmpty(url) ? null : Load(url, about, log);
    }

    // Apart and never inlined: the assemblies of the SDK are loaded when this method is compiled.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static OtlpExport Load(string url, OtlpResource about, Log log)
    {
        if (!Uri.TryCreate(url, UriKind.Absolute, out var endpoint) || endpoint.Scheme is not ("http" or "https"))
            throw new ArgumentException($"--otlp {url}: expected http://host:port, for example http://127.0.0.1:4318");
        var protocol = Environment.GetEnvironmentVariable(ProtocolVariable) switch
        {
            "grpc" => OtlpExportProtocol.Grpc,
            "http/protobuf" => OtlpExportProtocol.HttpProtobuf,
            null or "" => endpoint.Port == 4317 ? OtlpExportProtocol.Grpc : OtlpExportProtocol.HttpProtobuf,
            var other => throw new ArgumentException($"{ProtocolVariable}={other}: expected grpc or http/protobuf"),
        };
        log.Info("sending metrics and spans by OTLP", ("endpoint", endpoint), ("protocol", protocol));
        return new OtlpExport(endpoint, protocol, about);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        metrics.Dispose();
        traces.Dispose();
    }

    private static void Configure(OtlpExporterOptions otlp, Uri endpoint, OtlpExportProtocol protocol, string path)
    {
        otlp.Protocol = protocol;
        // The SDK appends the signal's path only to an endpoint it read from the environment itself.
        otlp.Endpoint = protocol == OtlpExportProtocol.Grpc ? endpoint : new Uri($"{endpoint.AbsoluteUri.TrimEnd('/')}/{path}");
        otlp.TimeoutMilliseconds = ExportTimeoutMilliseconds;
    }
}

/// <summary>Who sends: OpenTelemetry's resource attributes of this workload.</summary>
/// <param name="Service">service.name.</param>
/// <param name="Namespace">service.namespace.</param>
/// <param name="Version">service.version.</param>
/// <param name="Workload">service.instance.id.</param>
/// <param name="SampleShare">Share of traces begun here that are recorded; a trace that comes in keeps its own mark.</param>
internal sealed record OtlpResource(string Service, string Namespace, string Version, string Workload, double SampleShare = 0.01);
