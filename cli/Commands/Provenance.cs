using System.Text.Json;

namespace Mesh.Cli.Commands;

/// <summary>Finds the places a resource says it comes from: the <c>mesh.source</c> metadata anywhere inside. Stateless.</summary>
internal static class Provenance
{
    /// <summary>The locations, in the order met, each once.</summary>
    public static string Of(JsonElement resource) => string.Join(", ", Locations(resource, 0).Distinct(StringComparer.Ordinal));

    private static IEnumerable<string> Locations(JsonElement json, int depth)
    {
        if (depth > 64)
            return [];
        return json.ValueKind switch
        {
            JsonValueKind.Object => json.EnumerateObject().SelectMany(m => Member(m, depth)),
            JsonValueKind.Array => json.EnumerateArray().SelectMany(e => Locations(e, depth + 1)),
            _ => [],
        };
    }

    private static IEnumerable<string> Member(JsonProperty member, int depth) =>
        member.Name == "mesh.source" && member.Value.ValueKind == JsonValueKind.Object
            && member.Value.TryGetProperty("location", out var location) && location.ValueKind == JsonValueKind.String
            ? [location.GetString()!]
            : Locations(member.Value, depth + 1);
}
