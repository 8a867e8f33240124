using Mesh.Api.Grpc;
using Mesh.Api.V1;

namespace Mesh.Api.Telemetry;

/// <summary>The methods of <c>mesh.v1.TelemetryService</c>, for both ends.</summary>
public static class TelemetryMethods
{
    /// <summary>Client streaming: a sidecar's edges, about once a second.</summary>
    public static GrpcMethod<EdgeReport, ReportSummary> Report { get; } =
        new("mesh.v1.TelemetryService", "Report", EdgeReport.Parser, ReportSummary.Parser);
}
