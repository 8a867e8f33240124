using Mesh.Api.Identity;

namespace Mesh.Sidecar.State;

/// <summary>
/// Keeps two sidecars from one state folder: each would serve what the other was told, and sweep away what the other writes. The kernel ends it with the
/// process. One thread at a time; lives as long as the process.
/// </summary>
internal sealed class StateLock(string folder) : IDisposable
{
    private const int WouldBlock = 11; // EWOULDBLOCK
    private const int LowWord = 0xffff;
    private FileStream? held;

    /// <summary>Takes it if it can be had; false when another process has it. Where nothing can be locked nothing is in the way.</summary>
    public bool TryTake()
    {
        if (held is not null) return true;
        try
        {
            SecureFiles.EnsureFolder(folder);
            held = new FileStream(Path.Combine(folder, "lock"), new FileStreamOptions
            {
                Mode = FileMode.OpenOrCreate,
                Access = FileAccess.Read,
                Share = FileShare.None,
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            });
            return true;
        }
        catch (IOException e) when ((e.HResult & LowWord) == WouldBlock)
        {
            return false;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            // A folder that is not ours, or a disk that is full: reading and writing say it.
            return true;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => held?.Dispose();
}
