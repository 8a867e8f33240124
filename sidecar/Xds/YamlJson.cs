using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.RegularExpressions;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Mesh.Sidecar.Xds;

/// <summary>Writes a YAML node as JSON, by YAML's core schema. Pure; bounded in depth and size, so that aliases cannot blow up.</summary>
internal static partial class YamlJson
{
    private const int Deepest = 100;
    private const int MostNodes = 5_000_000;

    /// <summary>The node as JSON text. Throws <see cref="YamlException"/> with the line when it cannot be.</summary>
    public static string Write(YamlNode node)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true }))
        {
            var budget = MostNodes;
            Write(node, json, 0, ref budget);
        }

        return Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length);
    }

    private static void Write(YamlNode node, Utf8JsonWriter json, int depth, ref int budget)
    {
        if (depth > Deepest) throw new YamlException(node.Start, node.End, $"is nested deeper than {Deepest} levels");
        if (--budget < 0) throw new YamlException(node.Start, node.End, $"has more than {MostNodes} values, aliases counted each time");
        switch (node)
        {
            case YamlMappingNode mapping:
                json.WriteStartObject();
                foreach (var (key, value) in mapping.Children)
                {
                    if (key is not YamlScalarNode { Value: { } name }) throw new YamlException(key.Start, key.End, "a key must be a plain word");
                    json.WritePropertyName(name);
                    Write(value, json, depth + 1, ref budget);
                }

                json.WriteEndObject();
                break;
            case YamlSequenceNode sequence:
                json.WriteStartArray();
                foreach (var item in sequence.Children) Write(item, json, depth + 1, ref budget);
                json.WriteEndArray();
                break;
            case YamlScalarNode scalar:
                Write(scalar, json);
                break;
            default:
                throw new YamlException(node.Start, node.End, "this kind of YAML is not understood");
        }
    }

    private static void Write(YamlScalarNode scalar, Utf8JsonWriter json)
    {
        var text = scalar.Value ?? "";
        if (scalar.Style != ScalarStyle.Plain) json.WriteStringValue(text);
        else if (text is "" or "~" or "null" or "Null" or "NULL") json.WriteNullValue();
        else if (text is "true" or "True" or "TRUE") json.WriteBooleanValue(true);
        else if (text is "false" or "False" or "FALSE") json.WriteBooleanValue(false);
        else if (JsonNumber().IsMatch(text)) json.WriteRawValue(text, skipInputValidation: true);
        else if (text.StartsWith("0x", StringComparison.Ordinal) && ulong.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var hex)) json.WriteNumberValue(hex);
        else json.WriteStringValue(text);
    }

    [GeneratedRegex(@"\A-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?\z", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex JsonNumber();
}
