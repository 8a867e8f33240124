using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Mesh.Api.Operators;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Admin;

/// <summary>How the operators' API reads bodies and answers: JSON, and errors in words. Stateless.</summary>
internal static class OperatorsAnswer
{
    private const int LargestBody = 64 * 1024;

    /// <summary>Answers with a value.</summary>
    public static Task SendAsync<T>(HttpContext http, T value, JsonTypeInfo<T> type)
    {
        http.Response.ContentType = "application/json; charset=utf-8";
        return JsonSerializer.SerializeAsync(http.Response.Body, value, type, http.RequestAborted);
    }

    /// <summary>Answers with an error.</summary>
    public static Task RefuseAsync(HttpContext http, int status, string error)
    {
        http.Response.StatusCode = status;
        return SendAsync(http, new OperatorsError(error), OperatorsJson.Default.OperatorsError);
    }

    /// <summary>Reads the body; null when it was refused, and the answer is sent.</summary>
    public static async Task<T?> ReadAsync<T>(HttpContext http, JsonTypeInfo<T> type)
        where T : class
    {
        if (!http.Request.HasJsonContentType())
        {
            await RefuseAsync(http, StatusCodes.Status415UnsupportedMediaType, "the body is sent as JSON (Content-Type: application/json)");
            return null;
        }

        var body = new byte[LargestBody + 1];
        var read = await http.Request.Body.ReadAtLeastAsync(body, body.Length, throwOnEndOfStream: false, http.RequestAborted);
        if (read > LargestBody)
        {
            await RefuseAsync(http, StatusCodes.Status413PayloadTooLarge, $"the body has more than {LargestBody} bytes");
            return null;
        }

        try
        {
            return JsonSerializer.Deserialize(body.AsSpan(0, read), type) ?? throw new JsonException("it is null");
        }
        catch (JsonException e)
        {
            await RefuseAsync(http, StatusCodes.Status400BadRequest, $"the body is not what is expected here: {e.Message}");
            return null;
        }
    }
}
