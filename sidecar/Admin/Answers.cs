using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Mesh.Sidecar.Admin;

/// <summary>The few shapes of an admin answer. Stateless.</summary>
internal static class Answers
{
    private static readonly JsonWriterOptions Indented = new() { Indented = true };

    /// <summary>Plain text.</summary>
    public static Task TextAsync(this HttpContext context, int status, string text) =>
        BytesAsync(context, status, "text/plain; charset=utf-8", Encoding.UTF8.GetBytes(text));

    /// <summary>JSON written by <paramref name="write"/>.</summary>
    public static Task JsonAsync(this HttpContext context, Action<Utf8JsonWriter> write)
    {
        var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, Indented)) write(json);
        return BytesAsync(context, StatusCodes.Status200OK, "application/json", buffer.ToArray());
    }

    /// <summary>True when the query asks for JSON.</summary>
    public static bool WantsJson(this HttpRequest request) => request.Query["format"] == "json";

    private static async Task BytesAsync(HttpContext context, int status, string type, byte[] body)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = type;
        context.Response.ContentLength = body.Length;
        context.Response.Headers.CacheControl = "no-cache";
        context.Response.Headers.XContentTypeOptions = "nosniff";
        if (!HttpMethods.IsHead(context.Request.Method)) await context.Response.Body.WriteAsync(body, context.RequestAborted);
    }
}
