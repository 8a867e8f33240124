using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Mesh.Api.Logging;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Dns;
using Mesh.Sidecar.Resilience;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Dns;

/// <summary>A resolver under test on sockets of its own, with a resolv.conf of its own. Disposed by its test.</summary>
internal sealed class ResolverTest : IAsyncDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly IPEndPoint address;

    public ResolverTest(string resolvConf, int port, Snapshots? snapshots = null, int ownPort = 0)
    {
        Write(resolvConf);
        var udp = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        var tcp = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        udp.Bind(new IPEndPoint(IPAddress.Loopback, ownPort > 0 ? ownPort : DnsPorts.Next()));
        address = (IPEndPoint)udp.LocalEndPoint!;
        tcp.Bind(address);
        tcp.Listen();
        Server = new DnsServer([udp, tcp], snapshots ?? Given.With(Given.Shop), new ResolverFile(folder["resolv.conf"], TimeProvider.System, Log.Silent, port), new QueryPorts("32768 60999"), TimeProvider.System, new Randomness(1));
        Server.Start();
    }

    public DnsServer Server { get; }

    public int Port => address.Port;

    /// <summary>Puts another resolv.conf in place.</summary>
    public void Write(string resolvConf) => File.WriteAllText(folder["resolv.conf"], resolvConf);

    /// <summary>Asks over UDP.</summary>
    public async Task<byte[]> AskAsync(byte[] query, double seconds = 20)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        await socket.ConnectAsync(address);
        await socket.SendAsync(query);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
        var buffer = new byte[65535];
        return buffer[..await socket.ReceiveAsync(buffer, limit.Token)];
    }

    /// <summary>Asks over TCP, several queries on one connection.</summary>
    public async Task<byte[][]> AskTcpAsync(params byte[][] queries)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(address);
        await socket.SendAsync(queries.SelectMany(q => (byte[])[(byte)(q.Length >> 8), (byte)q.Length, .. q]).ToArray());
        var answers = new List<byte[]>();
        for (var i = 0; i < queries.Length; i++)
        {
            var length = BinaryPrimitives.ReadUInt16BigEndian(await ReadAsync(socket, 2));
            answers.Add(await ReadAsync(socket, length));
        }

        return [.. answers];
    }

    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        folder.Dispose();
    }

    private static async Task<byte[]> ReadAsync(Socket socket, int length)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        var bytes = new byte[length];
        for (var at = 0; at < length;)
        {
            var got = await socket.ReceiveAsync(bytes.AsMemory(at), limit.Token);
            Assert.True(got > 0, "the connection ended");
            at += got;
        }

        return bytes;
    }
}
