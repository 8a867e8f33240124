using Mesh.Api.Grpc;
using Mesh.Api.V1;
using Microsoft.AspNetCore.Routing;

namespace Mesh.ControlPlane.Admin.Traffic;

/// <summary>Takes the sidecars' reports, <c>mesh.v1.TelemetryService/Report</c>. Thread safe; a stream ends with its sidecar or with <paramref name="stopping"/>.</summary>
internal sealed class TelemetryEndpoint(TrafficWindow window, TelemetryGate gate, CancellationToken stopping)
{
    private const int MostEdgesInReport = 10_000;

    private static readonly GrpcMethod<EdgeReport, ReportSummary> Report =
        new("mesh.v1.TelemetryService", "Report", EdgeReport.Parser, ReportSummary.Parser);

    /// <summary>Adds the method to an application.</summary>
    public void Map(IEndpointRouteBuilder endpoints) => endpoints.MapGrpcClientStreaming(Report, ReceiveAsync);

    private async Task<ReportSummary> ReceiveAsync(MessageReader<EdgeReport> reports, ServerCallContext context)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(context.Cancellation, stopping);
        var open = new Dictionary<EdgeKey, long>();
        ulong count = 0;
        try
        {
            while (await reports.ReadAsync(end.Token) is { } report)
            {
                if (report.Edges.Count > MostEdgesInReport)
                    throw new GrpcException(GrpcStatusCode.InvalidArgument, $"a report has {report.Edges.Count} edges; at most {MostEdgesInReport} are taken");
                gate.Check(report, context);
                window.Add(report, open);
                count++;
            }

            return new ReportSummary { Reports = count };
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            throw new GrpcException(GrpcStatusCode.Unavailable, "the control plane is stopping");
        }
        finally
        {
            window.Forget(open);
        }
    }
}
