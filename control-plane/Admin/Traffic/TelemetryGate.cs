using Mesh.Api.Grpc;
using Mesh.Api.Identity;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources;
using Mesh.ControlPlane.Xds;

namespace Mesh.ControlPlane.Admin.Traffic;

/// <summary>
/// Whether a report may be its sender's: a workload that proved an identity tells of itself and of nobody else. Refusals are logged and
/// counted. Thread safe; lives as long as the program.
/// </summary>
internal sealed class TelemetryGate(ConnectedNodes nodes, Log log) : IDisposable
{
    private readonly RefusalMeter refused = new("mesh_telemetry_refused_total", "Reports refused because they are not of the workload that sent them, by reason.");

    /// <summary>Ends the call when the report tells of others; a caller that proved nothing is not checked here.</summary>
    public void Check(EdgeReport report, ServerCallContext context)
    {
        if (context.Http.Features.Get<Caller>() is not { } caller || Problem(report, caller.Id) is not var (reason, text)) return;
        refused.Count(reason);
        log.Warn("a report is refused", ("node", report.NodeId), ("identity", caller.Id), ("reason", reason), ("error", text));
        throw new GrpcException(GrpcStatusCode.PermissionDenied, text);
    }

    /// <inheritdoc/>
    public void Dispose() => refused.Dispose();

    private (string Reason, string Text)? Problem(EdgeReport report, SpiffeId caller)
    {
        var identity = caller.ToString();
        if (report.NodeId.Split('~') is [_, _, _, var ns] && ns != caller.Namespace) return ("node_id", $"node_id \"{report.NodeId}\" is not of the namespace of {identity}");
        if (nodes.Descriptions.Any(node => node.Id == report.NodeId && node.Identity is { } other && other != identity))
            return ("node_id", $"node_id \"{report.NodeId}\" is that of a node with another identity");
        foreach (var edge in report.Edges)
        {
            // Whatever else it says, it would be counted as a destination's word.
            if (edge.Reporter is not ("source" or "destination")) return ("reporter", $"an edge is reported by {identity} as neither source nor destination");
            var own = edge.Reporter == "destination" ? edge.Destination : edge.Source;
            if (own is null) continue;
            if (own.Namespace.Length > 0 && own.Namespace != caller.Namespace) return ("namespace", $"an edge is reported by {identity} as {own.Namespace}/{own.Service}");
            if (own.Service.Length > 0 && !nodes.World.Authority.MayServe(identity, new ServiceName(caller.Namespace!, own.Service)))
                return ("service", $"an edge is reported by {identity} as {own.Namespace}/{own.Service}, which it may not serve");
        }

        return null;
    }
}
