using System.Text.Json;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Persistence;

/// <summary>The registry's data cannot be read or written; the message names the file and says what to do.</summary>
internal sealed class RegistryDataException(string message, Exception? cause = null) : IOException(message, cause);

/// <summary>
/// The one file the registry keeps its state in: readable by its owner only, replaced as a whole, so that a crash leaves the old or the new one.
/// Not thread safe; one owner.
/// </summary>
internal sealed class RegistryFile(string folder)
{
    private readonly string path = Path.Combine(folder, "registry.json");

    public string FilePath => path;

    /// <summary>The state of the file; null when there is none yet.</summary>
    public RegistryState? Load()
    {
        try
        {
            MakeFolder();
            if (!File.Exists(path)) return null;
            using var stream = File.OpenRead(path);
            var data = JsonSerializer.Deserialize(stream, RegistryDataJson.Default.RegistryData) ?? throw new JsonException("the file says null");
            if (data.Format != RegistryData.CurrentFormat) throw new JsonException($"its format is {data.Format}, this program knows {RegistryData.CurrentFormat}");
            return data.ToState();
        }
        catch (Exception e) when (e is JsonException or ArgumentException or NullReferenceException or KeyNotFoundException)
        {
            throw new RegistryDataException(
                $"the registry's data file {path} cannot be read: {e.Message}. Put a good copy in its place, or move it away to begin with an empty registry.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new RegistryDataException($"the registry's data file {path} cannot be opened: {e.Message}. Check the --data folder and its owner.", e);
        }
    }

    public void Save(RegistryState state)
    {
        var fresh = path + ".new";
        var options = new FileStreamOptions
        {
            Mode = FileMode.Create,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        };
        using (var stream = new FileStream(fresh, options))
        {
            JsonSerializer.Serialize(stream, RegistryData.Of(state), RegistryDataJson.Default.RegistryData);
            stream.Flush(flushToDisk: true);
        }

        File.Move(fresh, path, overwrite: true);
    }

    private void MakeFolder()
    {
        if (!Directory.Exists(folder)) Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }
}
