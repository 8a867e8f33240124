using System.Net.Sockets;
using Mesh.Api.Grpc;

namespace Mesh.Api.Tests.Grpc;

public sealed class UnixSocketTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("mesh-").FullName;

    private string Address => Path.Combine(folder, "xds.sock");

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Only_its_owner_can_connect()
    {
        using var socket = UnixSocket.Bind(Address);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Address));
        Assert.Equal([Address], Directory.GetFileSystemEntries(folder));
        socket.Listen();
        using var client = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        client.Connect(new UnixDomainSocketEndPoint(Address));
    }

    [Fact]
    public void What_a_dead_process_left_is_replaced()
    {
        UnixSocket.Bind(Address).Dispose();
        Assert.True(File.Exists(Address));
        using var socket = UnixSocket.Bind(Address);
        socket.Listen();
    }

    [Fact]
    public void A_living_one_is_not_taken_over()
    {
        using var living = UnixSocket.Bind(Address);
        living.Listen();
        Assert.Equal(SocketError.AddressAlreadyInUse, Assert.Throws<SocketException>(() => UnixSocket.Bind(Address)).SocketErrorCode);
    }

    [Fact]
    public void Its_folder_must_exist()
    {
        Assert.Throws<DirectoryNotFoundException>(() => UnixSocket.Bind(Path.Combine(folder, "missing", "xds.sock")));
        Assert.Empty(Directory.GetFileSystemEntries(folder));
    }

    [Fact]
    public void A_file_is_not_replaced()
    {
        File.WriteAllText(Address, "");
        Assert.Contains("is a file", Assert.Throws<IOException>(() => UnixSocket.Bind(Address)).Message);
        Assert.True(File.Exists(Address));
    }
}
