using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Identity.Stores;

/// <summary>
/// Entries as files of mode 0600 in folders of mode 0700, written whole or not at all. What others could read or change is refused, not read.
/// Several processes on one machine may share the folder. Thread safe; holds nothing open between calls.
/// </summary>
internal sealed class FolderStore : IAuthorityStore
{
    /// <summary>What the name of a file ends in that is not finished.</summary>
    public const string DraftEnding = ".new";

    /// <summary>Bytes of the largest entry. What is larger is not written: it could not be read again.</summary>
    public const int MostBytes = 16 * 1024 * 1024;

    /// <summary>How often a folder is looked at while waiting for a change.</summary>
    public static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(500);

    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan DraftsLive = TimeSpan.FromHours(1);
    private readonly string folder;
    private readonly FolderLock changing;
    private readonly TimeProvider time;

    /// <summary>Opens a folder, and makes it when it is not there. A <see cref="StoreException"/> says why it cannot be used.</summary>
    public FolderStore(string folder, TimeProvider time)
    {
        (this.folder, this.time) = (folder, time);
        changing = new FolderLock(Path.Combine(folder, ".lock"), time);
        Try("use", folder, () =>
        {
            MakeFolder(folder);
            RemoveOldDrafts();
            return true;
        });
    }

    /// <inheritdoc/>
    public string Place => $"folder {folder}";

    /// <inheritdoc/>
    public Task<StoredEntry?> ReadAsync(string name, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        return Task.FromResult(Try("read", PathOf(name), () => Read(name)));
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<StoredEntry>> ReadAllAsync(string folder, Action<string, StoreException> unreadable, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        var entries = new List<StoredEntry>();
        foreach (var name in Try("read", PathOf(folder), () => Files(folder).Select(NameOf).Order(StringComparer.Ordinal).ToArray()))
        {
            try
            {
                if (Try("read", PathOf(name), () => Read(name)) is { } entry) entries.Add(entry);
            }
            catch (StoreException e)
            {
                unreadable(name, e);
            }
        }

        return Task.FromResult<IReadOnlyList<StoredEntry>>(entries);
    }

    /// <inheritdoc/>
    public Task<bool> CreateAsync(string name, ReadOnlyMemory<byte> content, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        return Task.FromResult(Try("write", PathOf(name), () =>
        {
            CheckLength(content);
            MakeFolder(Path.GetDirectoryName(PathOf(name))!);
            return SecureFiles.CreateNew(PathOf(name), content.Span);
        }));
    }

    /// <inheritdoc/>
    public async Task<bool> ReplaceAsync(StoredEntry seen, ReadOnlyMemory<byte> content, CancellationToken stop)
    {
        using var turn = await changing.TakeAsync(stop);
        return Try("write", PathOf(seen.Name), () =>
        {
            CheckLength(content);
            if (Read(seen.Name)?.Version != seen.Version) return false;
            SecureFiles.WriteAtomically(PathOf(seen.Name), content.Span);
            return true;
        });
    }

    /// <inheritdoc/>
    public async Task<bool> DeleteAsync(string name, CancellationToken stop)
    {
        using var turn = await changing.TakeAsync(stop);
        return Try("delete", PathOf(name), () =>
        {
            if (!File.Exists(PathOf(name))) return false;
            File.Delete(PathOf(name));
            return true;
        });
    }

    /// <inheritdoc/>
    public async Task<string> WaitAsync(string folder, string? mark, CancellationToken stop)
    {
        var since = time.GetTimestamp();
        while (true)
        {
            var now = Try("read", PathOf(folder), () => MarkOf(folder));
            if (now != mark || time.GetElapsedTime(since) >= LongestWait) return now;
            await Task.Delay(LookEvery, time, stop);
        }
    }

    private StoredEntry? Read(string name)
    {
        var path = PathOf(name);
        try
        {
            var content = SecureFiles.ReadSecret(path, MostBytes);
            return new StoredEntry(name, content, Convert.ToHexStringLower(SHA256.HashData(content)));
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    private static void CheckLength(ReadOnlyMemory<byte> content)
    {
        if (content.Length > MostBytes) throw new IOException($"{content.Length} bytes, and at most {MostBytes} are kept in one entry");
    }

    private string MarkOf(string name)
    {
        var text = new StringBuilder();
        foreach (var path in Files(name).Order(StringComparer.Ordinal))
        {
            var file = new FileInfo(path);
            if (file.Exists) text.Append(CultureInfo.InvariantCulture, $"{path}|{file.Length}|{file.LastWriteTimeUtc.Ticks}\n");
        }

        return text.Length == 0 ? "" : Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
    }

    private IEnumerable<string> Files(string name)
    {
        var inside = PathOf(name);
        return Directory.Exists(inside)
            ? Directory.EnumerateFiles(inside, "*", SearchOption.AllDirectories).Where(path => EntryName.IsName(NameOf(path)))
            : [];
    }

    private void MakeFolder(string path)
    {
        // Each level for itself: what is made on the way gets the same mode.
        if (path.Length > folder.Length) MakeFolder(Path.GetDirectoryName(path)!);
        SecureFiles.EnsureFolder(path);
    }

    private void RemoveOldDrafts()
    {
        foreach (var path in Directory.EnumerateFiles(folder, "*" + DraftEnding, SearchOption.AllDirectories))
        {
            if (time.GetUtcNow() - new DateTimeOffset(File.GetLastWriteTimeUtc(path)) > DraftsLive) File.Delete(path);
        }
    }

    private string PathOf(string name) => Path.Combine(folder, EntryName.Checked(name));

    private string NameOf(string path) => Path.GetRelativePath(folder, path);

    private static T Try<T>(string verb, string path, Func<T> act)
    {
        try
        {
            return act();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StoreException($"cannot {verb} {path}: {e.Message}", e);
        }
    }
}
