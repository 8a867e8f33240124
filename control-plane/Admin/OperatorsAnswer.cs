using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Mesh.Api.Operators;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Admin;

/// <summary>How the operators' API answers: JSON, and errors in words. Stateless.</summary>
internal static class OperatorsAnswer
{
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
}
