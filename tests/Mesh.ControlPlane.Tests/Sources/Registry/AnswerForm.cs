using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Mesh.ControlPlane.Tests.Sources.Registry;

/// <summary>
/// Brings answers of two registries into a form that can be compared: what says nothing (null, "", 0, false, empty) is left out, IDs are blanked,
/// an entry's indexes are told apart from each other only, and what only a real Consul has (itself as a service, its own metadata) is removed.
/// </summary>
internal static partial class AnswerForm
{
    private static readonly HashSet<string> Ignored =
    [
        "ContentHash", "Definition", "consul", "consul-network-segment", "consul-version",
        "Index", "LastContact", "KnownLeader", "ConsistencyLevel", "NotModified", "Backend", "ResultsFilteredByACLs",
    ];

    public static string Of(string body)
    {
        JsonNode? json;
        try
        {
            json = JsonNode.Parse(body);
        }
        catch (System.Text.Json.JsonException)
        {
            return Uuid().Replace(body.Trim(), "<uuid>");
        }

        var text = new StringBuilder();
        Write(json, text);
        return text.ToString();
    }

    private static void Write(JsonNode? node, StringBuilder text)
    {
        switch (node)
        {
            case JsonObject map: WriteMap(map, text); break;
            case JsonArray list: WriteList(list, text); break;
            default: text.Append(Uuid().Replace(node?.ToJsonString() ?? "null", "<uuid>")); break;
        }
    }

    private static void WriteMap(JsonObject map, StringBuilder text)
    {
        text.Append('{');
        // A real Consul touches its own node while it starts.
        var isOwnNode = map["Address"] is not null && map["Node"]?.ToString() == "consul-test";
        if (!isOwnNode && map.TryGetPropertyValue("ModifyIndex", out var modify) && modify!.GetValue<ulong>() > 0)
            text.Append(map["CreateIndex"]!.GetValue<ulong>() == modify.GetValue<ulong>() ? "unmodified " : "modified ");
        foreach (var (name, value) in map.OrderBy(p => p.Key, StringComparer.Ordinal))
        {
            if (Ignored.Contains(name) || name is "CreateIndex" or "ModifyIndex" || SaysNothing(value)) continue;
            // What a probe says about its try is worded differently; that it speaks is not.
            if (name == "Output" && map["Type"]?.GetValue<string>() is "http" or "tcp") continue;
            text.Append(name).Append(": ");
            Write(value, text);
            text.Append(' ');
        }

        text.Append('}');
    }

    private static void WriteList(JsonArray list, StringBuilder text)
    {
        var parts = list.Where(i => !IsConsulItself(i)).Select(i =>
        {
            var part = new StringBuilder();
            Write(i, part);
            return part.ToString();
        });
        // The order of tags means nothing, nor does that of sessions: they go by their random IDs.
        if (list.All(i => i is JsonValue || i?["LockDelay"] is not null)) parts = parts.Order(StringComparer.Ordinal);
        text.Append('[').AppendJoin(", ", parts).Append(']');
    }

    private static bool SaysNothing(JsonNode? node) => node switch
    {
        null => true,
        JsonObject map => map.All(p => Ignored.Contains(p.Key) || SaysNothing(p.Value)),
        JsonArray list => list.All(IsConsulItself),
        _ => node.ToJsonString() is "\"\"" or "0" or "false",
    };

    private static bool IsConsulItself(JsonNode? node) =>
        node is JsonObject map && ((map["ServiceName"] is JsonValue n && n.ToString() == "consul") || (map["Service"] is JsonValue s && s.ToString() == "consul"));

    [GeneratedRegex("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Uuid();
}
