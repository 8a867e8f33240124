using Mesh.ControlPlane.Admin.Metrics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Mesh.ControlPlane.Admin;

/// <summary>The port for probes and Prometheus: <c>/healthz /readyz /metrics</c> and nothing else. Thread safe.</summary>
internal sealed class HealthEndpoints(MetricsPage metrics, Func<string?> notReady)
{
    /// <summary>Adds the paths to an application.</summary>
    public void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapMethods("/healthz", ["GET", "HEAD"], (RequestDelegate)(http => http.Response.WriteAsync("ok\n", http.RequestAborted)));
        endpoints.MapMethods("/readyz", ["GET", "HEAD"], (RequestDelegate)(http =>
        {
            var reason = notReady();
            http.Response.StatusCode = reason is null ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
            return http.Response.WriteAsync((reason ?? "ok") + "\n", http.RequestAborted);
        }));
        endpoints.MapMethods("/metrics", ["GET", "HEAD"], (RequestDelegate)(http =>
        {
            http.Response.ContentType = MetricsPage.ContentType;
            return http.Response.WriteAsync(metrics.Write(), http.RequestAborted);
        }));
    }
}
