using Mesh.Api.Telemetry;
using Microsoft.AspNetCore.Http;

namespace Mesh.Sidecar.Admin;

/// <summary>The metrics port (15020): Prometheus text at /metrics and at Envoy's path. Reads only, any number at a time.</summary>
internal sealed class MetricsPages(AdminSources sources)
{
    /// <summary>Answers a request.</summary>
    public Task HandleAsync(HttpContext context)
    {
        if (!HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method))
            return context.TextAsync(StatusCodes.Status405MethodNotAllowed, "metrics are read with GET\n");
        return context.Request.Path.Value switch
        {
            "/metrics" or "/stats/prometheus" => ExposeAsync(context, sources),
            "/healthz/ready" or "/ready" => ReadinessPages.AnswerAsync(context, sources),
            _ => context.TextAsync(StatusCodes.Status404NotFound, "here are /metrics, /stats/prometheus and /healthz/ready\n"),
        };
    }

    /// <summary>Writes all metrics.</summary>
    internal static Task ExposeAsync(HttpContext context, AdminSources sources)
    {
        context.Response.ContentType = PrometheusText.ContentType;
        return HttpMethods.IsHead(context.Request.Method)
            ? Task.CompletedTask
            : sources.Metrics.WriteAsync(context.Response.BodyWriter, context.RequestAborted);
    }
}
