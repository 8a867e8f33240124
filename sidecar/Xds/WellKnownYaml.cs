using System.Globalization;
using System.Text.RegularExpressions;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Mesh.Sidecar.Xds;

/// <summary>The messages that proto JSON writes in a form of their own: durations, wrappers, free-form values. Stateless.</summary>
internal static class WellKnownYaml
{
    private const string Package = "google.protobuf.";
    private const int Deepest = 100;
    private const int MostValues = 100_000;

    /// <summary>True when the type is one of those; then <paramref name="bytes"/> is its message, or an error was said.</summary>
    public static bool TryWrite(YamlNode node, string type, Action<YamlNode, string> error, out ByteString bytes)
    {
        var budget = MostValues;
        bytes = ByteString.Empty;
        if (!type.StartsWith(Package, StringComparison.Ordinal)) return false;
        var text = (node as YamlScalarNode)?.Value;
        IMessage? message = type[Package.Length..] switch
        {
            "Duration" => YamlScalars.TryDuration(text, out var duration) ? duration : Wrong("a duration such as 1.5s"),
            "BoolValue" => YamlScalars.TryBool(text, out var flag) ? new BoolValue { Value = flag } : Wrong("true or false"),
            "UInt32Value" => uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var u32) ? new UInt32Value { Value = u32 } : Wrong("a whole number from 0"),
            "UInt64Value" => ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var u64) ? new UInt64Value { Value = u64 } : Wrong("a whole number from 0"),
            "DoubleValue" => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var d) ? new DoubleValue { Value = d } : Wrong("a number"),
            "StringValue" => text is not null ? new StringValue { Value = text } : Wrong("a text"),
            "Struct" => node is YamlMappingNode ? Free(node, error, 0, ref budget).StructValue : Wrong("a mapping"),
            "ListValue" => node is YamlSequenceNode ? Free(node, error, 0, ref budget).ListValue : Wrong("a list"),
            "Value" => Free(node, error, 0, ref budget),
            _ => null,
        };
        if (message is not null) bytes = message.ToByteString();
        return type != "google.protobuf.Any";

        IMessage? Wrong(string expected)
        {
            error(node, $"\"{text ?? "(a structure)"}\" is not {expected}");
            return null;
        }
    }

    private static Value Free(YamlNode node, Action<YamlNode, string> error, int depth, ref int budget)
    {
        if (depth > Deepest || --budget < 0)
        {
            if (budget >= -1) error(node, $"is nested deeper than {Deepest} levels, or holds more than {MostValues} values");
            budget = -2;
            return Value.ForNull();
        }

        switch (node)
        {
            case YamlMappingNode mapping:
                var fields = new Struct();
                foreach (var (key, value) in mapping.Children) fields.Fields[(key as YamlScalarNode)?.Value ?? ""] = Free(value, error, depth + 1, ref budget);
                return Value.ForStruct(fields);
            case YamlSequenceNode sequence:
                var items = new List<Value>();
                foreach (var item in sequence.Children) items.Add(Free(item, error, depth + 1, ref budget));
                return Value.ForList([.. items]);
            default:
                return Scalar((YamlScalarNode)node);
        }
    }

    private static Value Scalar(YamlScalarNode scalar)
    {
        var text = scalar.Value ?? "";
        if (scalar.Style != ScalarStyle.Plain) return Value.ForString(text);
        if (text is "" or "~" or "null") return Value.ForNull();
        if (YamlScalars.TryBool(text, out var flag)) return Value.ForBool(flag);
        return YamlScalars.IsNumber(text) ? Value.ForNumber(double.Parse(text, CultureInfo.InvariantCulture)) : Value.ForString(text);
    }
}

/// <summary>Single values, as YAML and proto JSON write them. Pure.</summary>
internal static partial class YamlScalars
{
    /// <summary>true or false.</summary>
    public static bool TryBool(string? text, out bool value)
    {
        value = text is "true" or "True" or "TRUE";
        return value || text is "false" or "False" or "FALSE";
    }

    /// <summary>Base64, padded or not, of either alphabet.</summary>
    public static bool TryBase64(string text, out ByteString bytes)
    {
        var padded = text.Replace('-', '+').Replace('_', '/') + new string('=', (4 - (text.Length % 4)) % 4);
        var buffer = new byte[padded.Length];
        var valid = Convert.TryFromBase64String(padded, buffer, out var length);
        bytes = ByteString.CopyFrom(buffer, 0, valid ? length : 0);
        return valid;
    }

    /// <summary>Seconds with up to nine decimals and an s.</summary>
    public static bool TryDuration(string? text, out Duration duration)
    {
        duration = new Duration();
        if (text is null || !text.EndsWith('s') || !decimal.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds)) return false;
        if (Math.Abs(seconds) > 315_576_000_000m) return false;
        duration.Seconds = (long)decimal.Truncate(seconds);
        duration.Nanos = (int)((seconds - duration.Seconds) * 1_000_000_000m);
        return true;
    }

    /// <summary>True for what JSON calls a number.</summary>
    public static bool IsNumber(string text) => JsonNumber().IsMatch(text);

    [GeneratedRegex(@"\A-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?\z", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex JsonNumber();
}
