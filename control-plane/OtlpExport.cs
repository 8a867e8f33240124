using Mesh.ControlPlane.Sources;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;

namespace Mesh.ControlPlane;

/// <summary>Sends the control plane's metrics by OTLP. Made only when an endpoint is configured; its disposal sends what is left.</summary>
internal static class OtlpExport
{
    private const int GrpcPort = 4317;
    private const int TimeoutMilliseconds = 5000;

    /// <summary>Starts; gRPC on port 4317, http/protobuf elsewhere.</summary>
    public static MeterProvider Start(Uri endpoint, string replica, string version)
    {
        var grpc = endpoint.Port == GrpcPort;
        return Sdk.CreateMeterProviderBuilder()
            .SetResourceBuilder(ResourceBuilder.CreateEmpty().AddService("mesh-control-plane", serviceVersion: version, autoGenerateServiceInstanceId: false, serviceInstanceId: replica))
            .AddMeter(ControlPlaneMeter.Name)
            .AddOtlpExporter(otlp =>
            {
                otlp.Protocol = grpc ? OtlpExportProtocol.Grpc : OtlpExportProtocol.HttpProtobuf;
                // The SDK appends the path only to an endpoint that it read from the environment.
                otlp.Endpoint = grpc ? endpoint : new Uri($"{endpoint.AbsoluteUri.TrimEnd('/')}/v1/metrics");
                otlp.TimeoutMilliseconds = TimeoutMilliseconds;
            })
            .Build();
    }
}
