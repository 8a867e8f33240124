using System.Text.Json;
using System.Text.Json.Serialization;

namespace Mesh.ControlPlane.Sources.Registry.Json;

/// <summary>Reads a duration: text such as "10s", or a number of nanoseconds. Stateless.</summary>
internal sealed class DurationConverter : JsonConverter<TimeSpan>
{
    public override TimeSpan Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType == JsonTokenType.Number) return new TimeSpan(reader.GetInt64() / 100);
        var text = reader.TokenType == JsonTokenType.String ? reader.GetString()! : throw new JsonException("a duration such as \"10s\" is expected");
        return text.Length == 0 ? TimeSpan.Zero : GoDuration.TryParse(text, out var duration) ? duration : throw new JsonException($"invalid duration \"{text}\"");
    }

    public override void Write(Utf8JsonWriter writer, TimeSpan value, JsonSerializerOptions options) => writer.WriteStringValue(GoDuration.Format(value));
}

/// <summary>Reads a lock delay, which old clients give as a plain number of seconds. Stateless.</summary>
internal sealed class LockDelayConverter : JsonConverter<TimeSpan>
{
    /// <summary>A number below this means seconds: nobody means a thousand nanoseconds.</summary>
    private const long SecondsBelow = 1000;

    private static readonly DurationConverter Usual = new();

    public override TimeSpan Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out var number) && number < SecondsBelow
            ? TimeSpan.FromSeconds(number)
            : Usual.Read(ref reader, typeToConvert, options);

    public override void Write(Utf8JsonWriter writer, TimeSpan value, JsonSerializerOptions options) => Usual.Write(writer, value, options);
}
