using System.Globalization;
using Microsoft.AspNetCore.Http;

namespace Mesh.Sidecar.Admin;

/// <summary>GET /detection: the destinations of undeclared protocol whose servers were heard to speak first, and until when that is believed.</summary>
internal static class DetectionPage
{
    /// <summary>Answers a request.</summary>
    public static Task AnswerAsync(HttpContext context, AdminSources sources) => context.Request.WantsJson()
        ? context.JsonAsync(json =>
        {
            json.WriteStartObject();
            json.WriteStartArray("server_speaks_first");
            foreach (var verdict in sources.Verdicts())
            {
                json.WriteStartObject();
                json.WriteString("direction", verdict.Direction);
                json.WriteString("cluster", verdict.Cluster);
                json.WriteString("address", verdict.Address);
                json.WriteString("until", verdict.Until);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        })
        : context.TextAsync(StatusCodes.Status200OK, string.Concat(sources.Verdicts().Select(Line)));

    private static string Line(LearnedVerdict verdict) => string.Create(CultureInfo.InvariantCulture,
        $"{verdict.Direction}::{verdict.Cluster}::{verdict.Address}::server_speaks_first::until {verdict.Until:yyyy-MM-ddTHH:mm:ssZ}\n");
}
