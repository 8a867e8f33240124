using System.Text.Json;

namespace Mesh.ControlPlane;

/// <summary>The file that tells scripts and tests which addresses were bound. Written whole or not at all.</summary>
internal static class PortsFile
{
    /// <summary>Writes name and address of each listener as one JSON object; nothing when there is no path.</summary>
    public static void Write(string? path, IReadOnlyDictionary<string, string> addresses)
    {
        if (path is null) return;
        var draft = $"{path}.{Environment.ProcessId}.tmp";
        try
        {
            File.WriteAllBytes(draft, JsonSerializer.SerializeToUtf8Bytes(addresses));
            File.Move(draft, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartException($"--ports-file {path}: {e.Message}", e);
        }
    }
}
