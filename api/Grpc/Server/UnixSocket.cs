using System.Net.Sockets;

namespace Mesh.Api.Grpc;

/// <summary>Unix sockets that only their owner can connect to, from the first moment on. Stateless.</summary>
public static class UnixSocket
{
    /// <summary>Binds a socket of mode 0600 at <paramref name="path"/>; a socket left by a dead process is replaced.</summary>
    /// <exception cref="SocketException">A living process listens there.</exception>
    /// <exception cref="IOException">Something that is no socket is there, or the folder cannot be written.</exception>
    public static Socket Bind(string path)
    {
        var folder = Path.GetDirectoryName(path)!;
        if (!Directory.Exists(folder)) throw new DirectoryNotFoundException($"there is no folder {folder}");
        RemoveStale(path);
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        // bind() gives the file the mode of the umask: it happens inside a folder nobody else can enter, and the file moves out when it is closed to others.
        var nursery = Directory.CreateDirectory($"{path}.{Environment.ProcessId}", UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        try
        {
            var bound = Path.Combine(nursery.FullName, "s");
            socket.Bind(new UnixDomainSocketEndPoint(bound));
            File.SetUnixFileMode(bound, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            File.Move(bound, path);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
        finally
        {
            nursery.Delete(recursive: true);
        }
    }

    private static void RemoveStale(string path)
    {
        if (!File.Exists(path)) return;
        if (IsFile(path)) throw new IOException($"{path} is a file, not a socket");
        if (IsAlive(path)) throw new SocketException((int)SocketError.AddressAlreadyInUse);
        File.Delete(path);
    }

    private static bool IsAlive(string path)
    {
        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
            return true;
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
        {
            return false;
        }
    }

    // A socket cannot be opened, a file can.
    private static bool IsFile(string path)
    {
        try
        {
            File.OpenHandle(path).Dispose();
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }
}
