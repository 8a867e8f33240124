using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Mesh.ControlPlane.Identity.Records;

/// <summary>What a consumed join token allows its identity, as kept. Immutable.</summary>
internal sealed record GrantRecord(string Identity, ImmutableArray<string> Serves, ImmutableArray<string> Addresses);

/// <summary>A revoked identity, as kept. Immutable.</summary>
internal sealed record RevocationRecord(string Identity, string Reason, string By, DateTimeOffset At);

/// <summary>The newest certificate of a holder, as kept. Immutable.</summary>
internal sealed record IssuedRecord(string Holder, string Identity, string Serial, string Root)
{
    /// <summary>Fingerprint of the bundle that came with it.</summary>
    public string Bundle { get; init; } = "";

    /// <summary>When it was issued.</summary>
    public DateTimeOffset IssuedAt { get; init; }

    /// <summary>When it begins.</summary>
    public DateTimeOffset NotBefore { get; init; }

    /// <summary>When it ends.</summary>
    public DateTimeOffset NotAfter { get; init; }

    /// <summary>How its holder proved who it is.</summary>
    public string By { get; init; } = "";

    /// <summary>Where the request came from.</summary>
    public string Peer { get; init; } = "";
}

/// <summary>Source-generated (de)serialisation of records. A member nobody knows is an error: what protects the mesh is not guessed at.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(GrantRecord))]
[JsonSerializable(typeof(RevocationRecord))]
[JsonSerializable(typeof(IssuedRecord))]
internal sealed partial class RecordJson : JsonSerializerContext
{
    /// <summary>Reads a record; a <see cref="FormatException"/> says what is wrong with it.</summary>
    public static T Read<T>(ReadOnlyMemory<byte> json, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(json.Span, type) ?? throw new FormatException("it is empty");
        }
        catch (JsonException e)
        {
            throw new FormatException(e.Message, e);
        }
    }
}
