namespace Mesh.ControlPlane.Identity.Stores;

/// <summary>
/// Lets one at a time change what is in a folder, across processes: a lock on a file, which the kernel gives back when its holder dies.
/// Thread safe.
/// </summary>
internal sealed class FolderLock(string path, TimeProvider time)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);

    /// <summary>Waits for the turn; dispose what is given to end it.</summary>
    public async Task<IDisposable> TakeAsync(CancellationToken stop)
    {
        var since = time.GetTimestamp();
        while (true)
        {
            try
            {
                return new FileStream(path, new FileStreamOptions
                {
                    Mode = FileMode.OpenOrCreate,
                    Access = FileAccess.ReadWrite,
                    Share = FileShare.None,
                    UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
                });
            }
            catch (IOException) when (time.GetElapsedTime(since) < Patience && File.Exists(path))
            {
                await Task.Delay(Pause, time, stop);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new StoreException($"cannot lock {path}: {e.Message}", e);
            }
        }
    }
}
