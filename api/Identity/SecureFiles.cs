using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Mesh.Api.Identity;

/// <summary>
/// Files that hold secrets: written whole or not at all, readable by their owner only, and not read where others could have read or
/// changed them. Stateless; writers of the same path do not disturb each other, the last one stays.
/// </summary>
public static partial class SecureFiles
{
    /// <summary>The largest secret, in bytes.</summary>
    public const int MaxLength = 1 << 20;

    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const UnixFileMode OwnersFolder = OwnerOnly | UnixFileMode.UserExecute;
    private const UnixFileMode Others = ~(OwnersFolder | UnixFileMode.SetUser | UnixFileMode.SetGroup | UnixFileMode.StickyBit);

    /// <summary>Replaces a file: whoever reads sees the old content or the new one, also after a crash. Mode 0600.</summary>
    public static void WriteAtomically(string path, ReadOnlySpan<byte> content) => Write(path, content, OwnerOnly);

    /// <summary>As the other, for what is not held in memory: <paramref name="write"/> gets the file, once.</summary>
    public static void WriteAtomically(string path, Action<Stream> write) => Replace(path, Draft(path, write, OwnerOnly));

    /// <summary>As <see cref="WriteAtomically(string, ReadOnlySpan{byte})"/>, for what everybody may read. Mode 0644.</summary>
    public static void WritePublicAtomically(string path, ReadOnlySpan<byte> content) =>
        Write(path, content, OwnerOnly | UnixFileMode.GroupRead | UnixFileMode.OtherRead);

    /// <summary>Makes a file that must not exist yet; false, and nothing changed, when it does. Mode 0600; never seen half written.</summary>
    public static bool CreateNew(string path, ReadOnlySpan<byte> content)
    {
        var draft = Draft(path, content, OwnerOnly);
        try
        {
            // A hard link fails where the name is taken, and unlike a rename never replaces.
            if (Link(draft, path) != 0)
            {
                var error = Marshal.GetLastPInvokeError();
                if (error == FileExists) return false;
                throw new IOException($"cannot make {path}: {Marshal.GetPInvokeErrorMessage(error)}");
            }
        }
        finally
        {
            File.Delete(draft);
        }

        SyncFolder(path);
        return true;
    }

    /// <summary>Makes a folder for secrets (0700), or takes an existing one; throws <see cref="IOException"/> when others may enter it.</summary>
    public static void EnsureFolder(string path)
    {
        if (!Directory.Exists(path)) Directory.CreateDirectory(path, OwnersFolder);
        var mode = File.GetUnixFileMode(path);
        if ((mode & Others) != UnixFileMode.None)
            throw new IOException($"folder {path} has mode {Octal(mode)}: others may look into it, and it is to hold keys; run: chmod 700 {path}");
    }

    /// <summary>Reads a secret; throws <see cref="IOException"/> with what to do where it is not its owner's alone, a symbolic link, no regular file, or too large.</summary>
    public static byte[] ReadSecret(string path, int most = MaxLength)
    {
        if (new FileInfo(path).LinkTarget is not null) throw new IOException($"{path} is a symbolic link: name the file itself");
        using var file = RegularFiles.Open(path);
        var mode = File.GetUnixFileMode(file);
        if ((mode & Others) != UnixFileMode.None)
            throw new IOException($"{path} has mode {Octal(mode)}: others may use it, and it is a secret; run: chmod 600 {path}");
        return RegularFiles.Read(file, path, most);
    }

    private static void Write(string path, ReadOnlySpan<byte> content, UnixFileMode mode) => Replace(path, Draft(path, content, mode));

    private static void Replace(string path, string draft)
    {
        try
        {
            File.Move(draft, path, overwrite: true);
        }
        catch
        {
            File.Delete(draft);
            throw;
        }

        SyncFolder(path);
    }

    private static string Draft(string path, ReadOnlySpan<byte> content, UnixFileMode mode)
    {
        // A span cannot be captured.
        var bytes = content.ToArray();
        return Draft(path, file => file.Write(bytes), mode);
    }

    private static string Draft(string path, Action<Stream> write, UnixFileMode mode)
    {
        var draft = $"{path}.{Guid.NewGuid():n}.new";
        try
        {
            using var file = new FileStream(draft, new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.Write,
                UnixCreateMode = mode,
                BufferSize = 0,
            });
            // The mode at creation is narrowed by the umask, never widened; public files want theirs in full.
            File.SetUnixFileMode(file.SafeFileHandle, mode);
            write(file);
            file.Flush(flushToDisk: true);
            return draft;
        }
        catch
        {
            File.Delete(draft);
            throw;
        }
    }

    /// <summary>Without this a crash can forget the new name, though the content is on disk.</summary>
    private static void SyncFolder(string path)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        using var handle = new SafeFileHandle(Open(folder, CloseOnExec), ownsHandle: true);
        if (!handle.IsInvalid) _ = Fsync(handle);
    }

    private static string Octal(UnixFileMode mode) => Convert.ToString((int)mode, 8).PadLeft(4, '0');

    private const int FileExists = 17;
    private const int CloseOnExec = 0x80000;

    [LibraryImport("libc", EntryPoint = "link", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Link(string existing, string path);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Fsync(SafeFileHandle file);
}
