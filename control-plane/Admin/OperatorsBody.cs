using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Admin;

/// <summary>
/// Reads what operators send: one JSON object, strictly. A member that is unknown, doubled, missing, null or of the wrong kind is refused by its name,
/// since a mistyped one would silently ask for something else. Stateless.
/// </summary>
internal static class OperatorsBody
{
    private const int Largest = 64 * 1024;
    private static readonly JsonDocumentOptions Strict = new() { MaxDepth = 4, AllowDuplicateProperties = false };

    /// <summary>Reads the body; null when it was refused, and the answer is sent.</summary>
    /// <param name="http">The request.</param>
    /// <param name="type">What is expected; one of <see cref="OperatorsRequests"/>.</param>
    public static async Task<T?> ReadAsync<T>(HttpContext http, JsonTypeInfo<T> type)
        where T : class
    {
        if (!http.Request.HasJsonContentType())
        {
            await OperatorsAnswer.RefuseAsync(http, StatusCodes.Status415UnsupportedMediaType, "the body is sent as JSON (Content-Type: application/json)");
            return null;
        }

        var body = new byte[Largest + 1];
        var length = await ReadAsync(http, body);
        if (length > Largest)
        {
            await OperatorsAnswer.RefuseAsync(http, StatusCodes.Status413PayloadTooLarge, $"the body has more than {Largest} bytes");
            return null;
        }

        if (Parse(body.AsMemory(0, length), type, out var problem) is { } request) return request;
        await OperatorsAnswer.RefuseAsync(http, StatusCodes.Status400BadRequest, problem);
        return null;
    }

    private static async Task<int> ReadAsync(HttpContext http, byte[] body)
    {
        try
        {
            return await http.Request.Body.ReadAtLeastAsync(body, body.Length, throwOnEndOfStream: false, http.RequestAborted);
        }
        catch (BadHttpRequestException e) when (e.StatusCode == StatusCodes.Status413PayloadTooLarge)
        {
            // The server has its own, larger bound, and tells it before a byte is read.
            return body.Length;
        }
    }

    private static T? Parse<T>(ReadOnlyMemory<byte> body, JsonTypeInfo<T> type, out string problem)
        where T : class
    {
        try
        {
            using var document = JsonDocument.Parse(body, Strict);
            problem = Problem(document.RootElement, type) ?? "";
            return problem.Length == 0 ? document.RootElement.Deserialize(type) : null;
        }
        catch (JsonException e)
        {
            problem = WrongKind(e, type) ?? $"the body is no JSON that can be read: {e.Message}";
        }
        catch (InvalidOperationException e)
        {
            // Half a character written as an escape is found when the text is taken out.
            problem = $"the body has text that is no Unicode: {e.Message}";
        }

        return null;
    }

    private static string? Problem(JsonElement root, JsonTypeInfo type)
    {
        if (root.ValueKind != JsonValueKind.Object) return $"the body is not an object with {Names(type)}";
        var seen = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        foreach (var member in root.EnumerateObject())
        {
            if (!seen.Add(member.Name)) return $"{Shown(member.Name)}: is there twice";
            if (Find(type, member.Name) is null) return $"{Shown(member.Name)}: there is no such member; there are {Names(type)}";
            if (NullIn(member.Value, member.Name) is { } empty) return $"{empty}: is null; leave it out instead";
        }

        var missing = type.Properties.FirstOrDefault(property => property.IsRequired && !seen.Contains(property.Name));
        return missing is null ? null : $"{missing.Name}: is missing";
    }

    private static string? NullIn(JsonElement value, string path) => value.ValueKind switch
    {
        JsonValueKind.Null => path,
        JsonValueKind.Array => value.EnumerateArray().Select((item, index) => NullIn(item, $"{path}[{index}]")).FirstOrDefault(found => found is not null),
        JsonValueKind.Object => value.EnumerateObject().Select(member => NullIn(member.Value, $"{path}.{Shown(member.Name)}")).FirstOrDefault(found => found is not null),
        _ => null,
    };

    private static string? WrongKind(JsonException problem, JsonTypeInfo type)
    {
        if (problem.Path?.StartsWith("$.", StringComparison.Ordinal) is not true) return null;
        var path = problem.Path[2..];
        var end = path.IndexOfAny(['.', '[']);
        return Find(type, end < 0 ? path : path[..end]) is { } property ? $"{Shown(path)}: {property.Name} is {Kind(property.PropertyType)}" : null;
    }

    private static string Kind(Type type) =>
        type == typeof(string) ? "a text"
        : type == typeof(bool) ? "true or false"
        : type == typeof(int) ? "a whole number"
        : type == typeof(IReadOnlyList<string>) ? "a list of texts"
        : type == typeof(IReadOnlyDictionary<string, string>) ? "an object whose members are texts"
        : "something else";

    private static JsonPropertyInfo? Find(JsonTypeInfo type, string name) => type.Properties.FirstOrDefault(property => Is(property, name));

    private static bool Is(JsonPropertyInfo property, string name) => property.Name.Equals(name, StringComparison.OrdinalIgnoreCase);

    private static string Names(JsonTypeInfo type) => string.Join(", ", type.Properties.Select(property => property.Name));

    private static string Shown(string name) => name.Length <= 60 ? name : name[..60] + "...";
}
