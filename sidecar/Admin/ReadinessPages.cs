using Microsoft.AspNetCore.Http;

namespace Mesh.Sidecar.Admin;

/// <summary>The readiness port (15021): 200 when traffic is taken, else 503 with the reason.</summary>
internal sealed class ReadinessPages(AdminSources sources)
{
    /// <summary>Answers a request.</summary>
    public Task HandleAsync(HttpContext context) => context.Request.Path.Value switch
    {
        "/healthz/ready" or "/ready" => AnswerAsync(context, sources),
        _ => context.TextAsync(StatusCodes.Status404NotFound, "here are /healthz/ready and /ready\n"),
    };

    /// <summary>The answer to a readiness probe.</summary>
    internal static Task AnswerAsync(HttpContext context, AdminSources sources)
    {
        var readiness = sources.Readiness();
        return readiness.IsReady
            ? context.TextAsync(StatusCodes.Status200OK, readiness.Note.Length == 0 ? "LIVE\n" : $"LIVE\n{readiness.Note}\n")
            : context.TextAsync(StatusCodes.Status503ServiceUnavailable, $"{readiness.State}: {readiness.Reason}\n");
    }
}
