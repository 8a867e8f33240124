using System.Net;
using System.Net.Sockets;
using System.Text;
using Mesh.Sidecar.Tests.Testbed;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>What a request costs the heap, counted with a client and an origin that allocate nothing.</summary>
[Collection("alone")]
public sealed class AllocationTests
{
    private const int Requests = 3000;
#if DEBUG
    private const int Most = 3500; // async methods are classes in a debug build
#else
    private const int Most = 900;
#endif

    /// <summary>Policies, even a thousand, cost no memory a request.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1000)]
    public async Task AKeptAliveRequestAllocatesLittle(int policies)
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        var origin = new Thread(() => Answer(listener)) { IsBackground = true };
        origin.Start();
        var app = (IPEndPoint)listener.LocalEndPoint!;
        await using var bed = await (policies == 0 ? Bed.HttpAsync(Bed.Table(Bed.Cluster(app))) : Bed.StartAsync(at => Guarded.Http(at, app, Guarded.Rules("ALLOW", Many(policies)))));
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        client.Connect(bed.Port);
        Ask(client, 500);
        var before = GC.GetTotalAllocatedBytes(precise: true);
        Ask(client, Requests);
        var each = (GC.GetTotalAllocatedBytes(precise: true) - before) / Requests;
        Assert.True(each < Most, $"{each} bytes a request");
    }

    private static string Many(int policies)
    {
        var all = Enumerable.Range(0, policies).Select(i => Guarded.Policy($"p{i:d4}", i == policies - 1 ? Guarded.Path("/path") : Guarded.Path($"/{i}"))[1..^1]);
        return $"{{{string.Join(',', all)}}}";
    }

    private static void Ask(Socket client, int times)
    {
        var request = "GET /path HTTP/1.1\r\nHost: web\r\nUser-Agent: test\r\n\r\n"u8.ToArray();
        var buffer = new byte[4096];
        for (var i = 0; i < times; i++)
        {
            client.Send(request);
            var got = 0;
            while (!buffer.AsSpan(0, got).EndsWith("hello"u8)) got += client.Receive(buffer, got, buffer.Length - got, SocketFlags.None);
        }
    }

    private static void Answer(Socket listener)
    {
        using var connection = listener.Accept();
        connection.NoDelay = true;
        var answer = Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\nServer: test\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
        var buffer = new byte[4096];
        try
        {
            while (connection.Receive(buffer) > 0) connection.Send(answer);
        }
        catch (SocketException)
        {
            // The end of the test.
        }
    }
}

/// <summary>Tests that measure the process run when nothing else does.</summary>
[CollectionDefinition("alone", DisableParallelization = true)]
public sealed class AloneCollection;
