using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Mesh.Api.Identity;

/// <summary>
/// Reads files that somebody else may have put there: whatever stands under the name (a pipe nobody writes to, a device without an end), the
/// read neither waits nor grows. Stateless.
/// </summary>
public static partial class RegularFiles
{
    private const int CloseOnExec = 0x80000;
    private const int NonBlocking = 0x800;

    /// <summary>The content of a file; links are followed. Throws <see cref="IOException"/> when it is no regular file or has more than <paramref name="most"/> bytes.</summary>
    public static byte[] Read(string path, int most)
    {
        using var file = Open(path);
        return Read(file, path, most);
    }

    /// <summary>As <see cref="Read(string, int)"/>, as text; a byte-order mark is dropped.</summary>
    public static string ReadText(string path, int most)
    {
        using var reader = new StreamReader(new MemoryStream(Read(path, most)), Encoding.UTF8);
        return reader.ReadToEnd();
    }

    /// <summary>Opens a regular file for reading; does not wait for the other end of a pipe, and throws <see cref="IOException"/> for one.</summary>
    public static SafeFileHandle Open(string path)
    {
        if (Directory.Exists(path)) throw new IOException($"{path} is a folder, not a file");
        var file = new SafeFileHandle(Open(path, CloseOnExec | NonBlocking), ownsHandle: true);
        if (file.IsInvalid)
        {
            file.Dispose();
            // Says why not, in the usual exceptions.
            file = File.OpenHandle(path);
        }

        try
        {
            // What has no length is a pipe, a terminal or the like. Devices that have one have none to speak of: they read as empty.
            _ = RandomAccess.GetLength(file);
            return file;
        }
        catch (NotSupportedException e)
        {
            file.Dispose();
            throw new IOException($"{path} is no regular file", e);
        }
    }

    /// <summary>The content of an open file.</summary>
    internal static byte[] Read(SafeFileHandle file, string path, int most)
    {
        var length = RandomAccess.GetLength(file);
        if (length > most) throw new IOException($"{path} has {length} bytes; at most {most} are expected there");
        var content = new byte[length];
        var read = 0;
        while (read < content.Length && RandomAccess.Read(file, content.AsSpan(read), read) is > 0 and var n) read += n;
        return content[..read];
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);
}
