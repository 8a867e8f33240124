using System.Text.Json;
using System.Text.Json.Serialization;

namespace Mesh.Cli.Running;

/// <summary>The addresses a sidecar says it listens on, as it writes them to its ports file. Immutable.</summary>
internal sealed record BoundPorts
{
    public string Admin { get; init; } = "";

    public string Outbound { get; init; } = "";

    public string Metrics { get; init; } = "";

    public string Readiness { get; init; } = "";

    /// <summary>By the application's port.</summary>
    public Dictionary<string, string> Inbound { get; init; } = [];

    /// <summary>By service.</summary>
    public Dictionary<string, string> Upstreams { get; init; } = [];

    /// <summary>Reads the file; null while the sidecar has not (wholly) written it.</summary>
    public static BoundPorts? TryRead(string path)
    {
        try
        {
            var ports = JsonSerializer.Deserialize(File.ReadAllText(path), BoundPortsJson.Default.BoundPorts);
            return ports is { Admin.Length: > 0 } ? ports : null;
        }
        catch (Exception e) when (e is IOException or JsonException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}

/// <summary>The ports file's JSON.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(BoundPorts))]
internal sealed partial class BoundPortsJson : JsonSerializerContext;
