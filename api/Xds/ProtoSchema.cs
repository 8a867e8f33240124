using Google.Protobuf;

namespace Mesh.Api.Xds;

/// <summary>
/// The fields of all messages, read from the descriptors that the build embeds: what Google.Protobuf's reflection also knows, without
/// making its accessors. Immutable once loaded; safe from any thread.
/// </summary>
public sealed class ProtoSchema
{
    private readonly Dictionary<string, ProtoMessage> messages = new(StringComparer.Ordinal);
    private readonly Dictionary<string, IReadOnlyDictionary<string, int>> enums = new(StringComparer.Ordinal);

    /// <summary>The schema of this build. Loaded when first asked for.</summary>
    public static ProtoSchema Embedded { get; } = Load();

    /// <summary>A message by its full name, without a leading dot; null when there is none.</summary>
    public ProtoMessage? Message(string fullName) => messages.GetValueOrDefault(fullName);

    /// <summary>The values of an enum by its full name.</summary>
    public IReadOnlyDictionary<string, int> Enum(string fullName) => enums[fullName];

    private static ProtoSchema Load()
    {
        using var stream = typeof(ProtoSchema).Assembly.GetManifestResourceStream("mesh-schema.pb")
            ?? throw new InvalidOperationException("the build did not embed mesh-schema.pb");
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        var schema = new ProtoSchema();
        Each(new CodedInputStream(bytes), (tag, input) =>
        {
            if (tag == 1) schema.ReadFile(input.ReadBytes());
            else input.SkipLastField();
        });
        return schema;
    }

    /// <summary>FileDescriptorProto: package 2, message_type 4, enum_type 5.</summary>
    private void ReadFile(ByteString file)
    {
        var package = "";
        Each(file.CreateCodedInput(), (tag, input) =>
        {
            if (tag == 2) package = input.ReadString();
            else if (tag == 4) ReadMessage(package, input.ReadBytes());
            else if (tag == 5) ReadEnum(package, input.ReadBytes());
            else input.SkipLastField();
        });
    }

    /// <summary>DescriptorProto: name 1, field 2, nested_type 3, enum_type 4. The name comes first on the wire.</summary>
    private void ReadMessage(string scope, ByteString bytes)
    {
        var (name, fields) = (scope, new List<ProtoField>());
        Each(bytes.CreateCodedInput(), (tag, input) =>
        {
            if (tag == 1) name = $"{scope}.{input.ReadString()}";
            else if (tag == 2) fields.Add(ReadField(input.ReadBytes()));
            else if (tag == 3) ReadMessage(name, input.ReadBytes());
            else if (tag == 4) ReadEnum(name, input.ReadBytes());
            else input.SkipLastField();
        });
        messages[name] = new ProtoMessage(name, fields);
    }

    /// <summary>FieldDescriptorProto: name 1, number 3, label 4, type 5, type_name 6, oneof_index 9, json_name 10, proto3_optional 17.</summary>
    private static ProtoField ReadField(ByteString bytes)
    {
        var field = new ProtoField();
        Each(bytes.CreateCodedInput(), (tag, input) =>
        {
            switch (tag)
            {
                case 1: field.Name = input.ReadString(); break;
                case 3: field.Number = input.ReadInt32(); break;
                case 4: field.Repeated = input.ReadEnum() == 3; break;
                case 5: field.Type = (ProtoType)input.ReadEnum(); break;
                case 6: field.TypeName = input.ReadString().TrimStart('.'); break;
                case 9: field.Oneof = input.ReadInt32(); break;
                case 10: field.JsonName = input.ReadString(); break;
                default: input.SkipLastField(); break;
            }
        });
        return field;
    }

    /// <summary>EnumDescriptorProto: name 1, value 2 {name 1, number 2}.</summary>
    private void ReadEnum(string scope, ByteString bytes)
    {
        var (name, values) = (scope, new Dictionary<string, int>(StringComparer.Ordinal));
        Each(bytes.CreateCodedInput(), (tag, input) =>
        {
            if (tag == 1) name = $"{scope}.{input.ReadString()}";
            else if (tag == 2) ReadValue(input.ReadBytes(), values);
            else input.SkipLastField();
        });
        enums[name] = values;
    }

    private static void ReadValue(ByteString bytes, Dictionary<string, int> values)
    {
        var (name, number) = ("", 0);
        Each(bytes.CreateCodedInput(), (tag, input) =>
        {
            if (tag == 1) name = input.ReadString();
            else if (tag == 2) number = input.ReadInt32();
            else input.SkipLastField();
        });
        values[name] = number;
    }

    private static void Each(CodedInputStream input, Action<int, CodedInputStream> read)
    {
        for (var tag = input.ReadTag(); tag != 0; tag = input.ReadTag()) read(WireFormat.GetTagFieldNumber(tag), input);
    }
}

/// <summary>A message type. Immutable.</summary>
public sealed class ProtoMessage
{
    private readonly Dictionary<string, ProtoField> byName;

    internal ProtoMessage(string name, IReadOnlyList<ProtoField> fields)
    {
        FullName = name;
        byName = fields.ToDictionary(f => f.Name, StringComparer.Ordinal);
        foreach (var field in fields) byName.TryAdd(field.JsonName, field);
    }

    /// <summary>Full name, without a leading dot.</summary>
    public string FullName { get; }

    /// <summary>All names a field may have here, both spellings.</summary>
    public IReadOnlyCollection<string> Names => byName.Keys;

    /// <summary>A field by either of its spellings; null when there is none.</summary>
    public ProtoField? Field(string name) => byName.GetValueOrDefault(name);
}

/// <summary>A field. Not changed after it was read.</summary>
public sealed class ProtoField
{
    /// <summary>Name in the proto file.</summary>
    public string Name { get; internal set; } = "";

    /// <summary>Name in JSON.</summary>
    public string JsonName { get; internal set; } = "";

    /// <summary>Number.</summary>
    public int Number { get; internal set; }

    /// <summary>True for lists and maps.</summary>
    public bool Repeated { get; internal set; }

    /// <summary>Type.</summary>
    public ProtoType Type { get; internal set; }

    /// <summary>Full name of the message or enum.</summary>
    public string TypeName { get; internal set; } = "";

    /// <summary>Which oneof of the message it belongs to; -1 for none.</summary>
    public int Oneof { get; internal set; } = -1;
}

/// <summary>Types of fields, by their numbers in descriptors.</summary>
public enum ProtoType
{
    /// <summary>Not read yet.</summary>
    None = 0,

    /// <summary>double.</summary>
    Double = 1,

    /// <summary>float.</summary>
    Float = 2,

    /// <summary>int64.</summary>
    Int64 = 3,

    /// <summary>uint64.</summary>
    UInt64 = 4,

    /// <summary>int32.</summary>
    Int32 = 5,

    /// <summary>bool.</summary>
    Bool = 8,

    /// <summary>string.</summary>
    String = 9,

    /// <summary>A message.</summary>
    Message = 11,

    /// <summary>bytes.</summary>
    Bytes = 12,

    /// <summary>uint32.</summary>
    UInt32 = 13,

    /// <summary>An enum.</summary>
    Enum = 14,
}
