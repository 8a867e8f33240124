using System.Collections.Immutable;
using System.Text.Json;

namespace Mesh.Api.Identity;

/// <summary>The content of a join token as JSON. Strict: an unknown, doubled or missing member is an error. Stateless.</summary>
internal static class JoinTokenJson
{
    private const int MostItems = 64;
    private static readonly string[] Members = ["id", "identity", "serves", "expires", "root", "addresses"];
    private static readonly JsonDocumentOptions Strict = new() { MaxDepth = 4, AllowDuplicateProperties = false };

    public static byte[] Write(JoinToken token)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("id", token.Id);
            json.WriteString("identity", token.Identity.ToString());
            WriteList(json, "serves", token.Serves);
            json.WriteNumber("expires", token.Expires.ToUnixTimeSeconds());
            json.WriteString("root", token.Root);
            WriteList(json, "addresses", token.Addresses);
            json.WriteEndObject();
        }

        return buffer.ToArray();
    }

    /// <summary>Reads the content; what is wrong with it, or null.</summary>
    public static string? TryRead(byte[] bytes, out JoinToken? token)
    {
        token = null;
        try
        {
            using var document = JsonDocument.Parse(bytes, Strict);
            return Read(document.RootElement, out token);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // The second is for bytes that are no UTF-8, which are found when a text is taken out. The exception quotes the content, which belongs in no log.
            return "its content is no JSON object with each member once";
        }
    }

    private static string? Read(JsonElement root, out JoinToken? token)
    {
        token = null;
        if (root.ValueKind != JsonValueKind.Object) return "its content is no JSON object";
        var unknown = root.EnumerateObject().Select(m => m.Name).FirstOrDefault(n => !Members.Contains(n, StringComparer.Ordinal));
        if (unknown is not null) return "its content has a member this version does not know";
        if (!TryText(root, "id", out var id) || id.Length is < 16 or > 64 || !id.All(char.IsAsciiHexDigitLower)) return "its 'id' is not 16 to 64 hex digits";
        if (!TryText(root, "identity", out var identity)) return "its 'identity' is missing";
        if (!SpiffeId.TryParse(identity, out var spiffe, out var problem)) return "its 'identity': " + problem;
        if (spiffe.Path.Length == 0) return "its 'identity' names a trust domain, not a workload";
        if (!TryText(root, "root", out var hash) || hash.Length != 64 || !hash.All(char.IsAsciiHexDigitLower)) return "its 'root' is no SHA-256 in hex";
        if (!TryTime(root, out var expires)) return "its 'expires' is no time in seconds";
        if (!TryList(root, "serves", out var serves)) return $"its 'serves' is no list of at most {MostItems} names";
        if (!TryList(root, "addresses", out var addresses)) return $"its 'addresses' is no list of at most {MostItems} addresses";
        token = new() { Id = id, Identity = spiffe, Serves = serves, Addresses = addresses, Expires = expires, Root = hash };
        return null;
    }

    private static bool TryText(JsonElement root, string name, out string text)
    {
        text = root.TryGetProperty(name, out var member) && member.ValueKind == JsonValueKind.String ? member.GetString()! : "";
        return text.Length > 0;
    }

    private static bool TryTime(JsonElement root, out DateTimeOffset time)
    {
        time = default;
        if (!root.TryGetProperty("expires", out var member) || member.ValueKind != JsonValueKind.Number) return false;
        if (!member.TryGetInt64(out var seconds) || seconds < 0 || seconds > DateTimeOffset.MaxValue.ToUnixTimeSeconds()) return false;
        time = DateTimeOffset.FromUnixTimeSeconds(seconds);
        return true;
    }

    private static bool TryList(JsonElement root, string name, out ImmutableArray<string> list)
    {
        list = [];
        if (!root.TryGetProperty(name, out var member)) return true;
        if (member.ValueKind != JsonValueKind.Array || member.GetArrayLength() > MostItems) return false;
        if (member.EnumerateArray().Any(i => i.ValueKind != JsonValueKind.String || i.GetString() is "" or null or { Length: > 255 })) return false;
        list = [.. member.EnumerateArray().Select(i => i.GetString()!)];
        return true;
    }

    private static void WriteList(Utf8JsonWriter json, string name, ImmutableArray<string> items)
    {
        json.WriteStartArray(name);
        foreach (var item in items) json.WriteStringValue(item);
        json.WriteEndArray();
    }
}
