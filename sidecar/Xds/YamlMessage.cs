using System.Globalization;
using Google.Protobuf;
using Mesh.Api.Xds;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Mesh.Sidecar.Xds;

/// <summary>
/// Writes YAML as the bytes of a protobuf message, by the rules of proto JSON; both spellings of field names are taken. Finds every error
/// and says on which line. One file, one thread; bounded in depth and size, so that aliases cannot blow up.
/// </summary>
internal sealed class YamlMessage(ProtoSchema schema, Action<YamlNode, string> error)
{
    private const int Deepest = 100;
    private const int MostNodes = 5_000_000;
    private int nodes;

    /// <summary>The bytes of a message of this type.</summary>
    public ByteString Write(YamlNode node, string type) => Message(node, type, 0);

    private ByteString Message(YamlNode node, string type, int depth)
    {
        if (depth > Deepest || ++nodes > MostNodes)
        {
            if (nodes <= MostNodes + 1) error(node, depth > Deepest ? $"is nested deeper than {Deepest} levels" : $"the file has more than {MostNodes} values, aliases counted each time");
            return ByteString.Empty;
        }

        if (WellKnownYaml.TryWrite(node, type, error, out var known)) return known;
        if (type == "google.protobuf.Any") return AnyBytes(node, depth);
        if (schema.Message(type) is { } message) return Fields(node, message, depth, skip: "");
        error(node, $"the type {type} is not known to this sidecar");
        return ByteString.Empty;
    }

    /// <summary>The type stands in "@type", the fields of the message beside it.</summary>
    private ByteString AnyBytes(YamlNode node, int depth)
    {
        var url = node is YamlMappingNode mapping && mapping.Children.TryGetValue(new YamlScalarNode("@type"), out var given) ? (given as YamlScalarNode)?.Value : null;
        var message = url is null ? null : schema.Message(url[(url.LastIndexOf('/') + 1)..]);
        if (url is null) error(node, "\"@type\" is missing: it says which message this is");
        else if (message is null) error(node, $"\"{url}\" is not a type this sidecar knows");
        return message is null ? ByteString.Empty : Bytes(o =>
        {
            o.WriteTag(1, WireFormat.WireType.LengthDelimited);
            o.WriteString(url);
            o.WriteTag(2, WireFormat.WireType.LengthDelimited);
            o.WriteBytes(Fields(node, message, depth, skip: "@type"));
        });
    }

    private ByteString Fields(YamlNode node, ProtoMessage message, int depth, string skip)
    {
        if (node is not YamlMappingNode mapping)
        {
            error(node, $"must be a mapping: the fields of {message.FullName}");
            return ByteString.Empty;
        }

        var seen = new HashSet<int>();
        var oneofs = new Dictionary<int, string>();
        return Bytes(output =>
        {
            foreach (var (key, value) in mapping.Children)
            {
                var name = (key as YamlScalarNode)?.Value ?? "";
                if (name == skip) continue;
                if (message.Field(name) is not { } field) error(key, $"{message.FullName} has no field \"{name}\"");
                else if (!seen.Add(field.Number)) error(key, $"\"{name}\" is there twice");
                else if (IsNull(value)) continue;
                else if (field.Oneof >= 0 && !oneofs.TryAdd(field.Oneof, name)) error(key, $"\"{name}\" and \"{oneofs[field.Oneof]}\" exclude each other");
                else Field(value, field, output, depth);
            }
        });
    }

    private void Field(YamlNode node, ProtoField field, CodedOutputStream output, int depth)
    {
        if (!field.Repeated) One(node, field, output, depth);
        else if (node is YamlSequenceNode sequence)
        {
            foreach (var item in sequence.Children) One(item, field, output, depth);
        }
        else if (node is YamlMappingNode mapping && schema.Message(field.TypeName) is { } entry && entry.Field("key") is { } key && entry.Field("value") is { } value)
        {
            foreach (var (k, v) in mapping.Children)
            {
                var bytes = Bytes(o =>
                {
                    One(k, key, o, depth);
                    One(v, value, o, depth);
                });
                output.WriteTag(field.Number, WireFormat.WireType.LengthDelimited);
                output.WriteBytes(bytes);
            }
        }
        else error(node, $"{field.Name} must be a list");
    }

    private void One(YamlNode node, ProtoField field, CodedOutputStream output, int depth)
    {
        if (field.Type == ProtoType.Message)
        {
            output.WriteTag(field.Number, WireFormat.WireType.LengthDelimited);
            output.WriteBytes(Message(node, field.TypeName, depth + 1));
        }
        else if (node is not YamlScalarNode { Value: { } text }) error(node, $"{field.Name} must be a single value");
        else if (!Scalar(text, field, output)) error(node, $"{field.Name}: \"{text}\" is not {Expected(field)}");
    }

    private bool Scalar(string text, ProtoField field, CodedOutputStream output)
    {
        switch (field.Type)
        {
            case ProtoType.String:
                output.WriteTag(field.Number, WireFormat.WireType.LengthDelimited);
                output.WriteString(text);
                return true;
            case ProtoType.Bytes:
                return YamlScalars.TryBase64(text, out var bytes) && Put(WireFormat.WireType.LengthDelimited, o => o.WriteBytes(bytes));
            case ProtoType.Bool:
                return YamlScalars.TryBool(text, out var flag) && Put(WireFormat.WireType.Varint, o => o.WriteBool(flag));
            case ProtoType.Enum:
                return TryEnum(text, field.TypeName, out var value) && Put(WireFormat.WireType.Varint, o => o.WriteEnum(value));
            case ProtoType.Int32:
                return int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var i32) && Put(WireFormat.WireType.Varint, o => o.WriteInt32(i32));
            case ProtoType.UInt32:
                return uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var u32) && Put(WireFormat.WireType.Varint, o => o.WriteUInt32(u32));
            case ProtoType.Int64:
                return long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var i64) && Put(WireFormat.WireType.Varint, o => o.WriteInt64(i64));
            case ProtoType.UInt64:
                return ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var u64) && Put(WireFormat.WireType.Varint, o => o.WriteUInt64(u64));
            case ProtoType.Double:
                return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var d) && Put(WireFormat.WireType.Fixed64, o => o.WriteDouble(d));
            case ProtoType.Float:
                return float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var f) && Put(WireFormat.WireType.Fixed32, o => o.WriteFloat(f));
            default:
                return false;
        }

        bool Put(WireFormat.WireType wire, Action<CodedOutputStream> write)
        {
            output.WriteTag(field.Number, wire);
            write(output);
            return true;
        }
    }

    private bool TryEnum(string text, string type, out int value) =>
        schema.Enum(type).TryGetValue(text, out value) || int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value);

    private string Expected(ProtoField field) => field.Type switch
    {
        ProtoType.Enum => $"one of {string.Join(", ", schema.Enum(field.TypeName).Keys)}",
        ProtoType.Bool => "true or false",
        ProtoType.Bytes => "base64",
        ProtoType.UInt32 or ProtoType.UInt64 => "a whole number from 0",
        ProtoType.Int32 or ProtoType.Int64 => "a whole number",
        _ => "a number",
    };

    private static bool IsNull(YamlNode node) => node is YamlScalarNode { Style: ScalarStyle.Plain, Value: "" or "~" or "null" or null };

    internal static ByteString Bytes(Action<CodedOutputStream> write)
    {
        using var buffer = new MemoryStream();
        using (var output = new CodedOutputStream(buffer, leaveOpen: true)) write(output);
        return ByteString.CopyFrom(buffer.GetBuffer(), 0, (int)buffer.Length);
    }
}
