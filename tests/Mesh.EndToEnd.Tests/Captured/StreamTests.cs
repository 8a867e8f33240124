using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Mesh.EndToEnd.Tests.Testbed.Network;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>TCP as applications know it through capture and mutual TLS: who speaks first, who closes first and how, and how much.</summary>
[Collection(ProtocolMachines.Group)]
public sealed class StreamTests(ProtocolMachines machines)
{
    [SkippableTheory]
    [InlineData(7000)]
    [InlineData(2525)]
    public Task A_server_that_speaks_first_is_heard(int port) => machines.RunOnEachAsync("servers", async (network, address) =>
    {
        using var server = network.Played.Play(port, async socket =>
        {
            await Wire.SendAsync(socket, "220 mail.example ESMTP\r\n");
            await Wire.ReadUntilAsync(socket, "EHLO me\r\n");
            await Wire.SendAsync(socket, "250 hello\r\n");
            await Wire.ReadUntilAsync(socket, "QUIT\r\n");
            await Wire.SendAsync(socket, "221 bye\r\n");
        });
        for (var i = 0; i < 3; i++)
        {
            using var socket = await network.Client.Host.ConnectAsync(address, port);
            var waited = Stopwatch.StartNew();
            Assert.Equal("220 mail.example ESMTP\r\n", await Wire.ReadUntilAsync(socket, "\r\n"));
            Assert.True(waited.ElapsedMilliseconds < 2000, $"the greeting took {waited.ElapsedMilliseconds} ms");
            await Wire.SendAsync(socket, "EHLO me\r\n");
            Assert.Equal("250 hello\r\n", await Wire.ReadUntilAsync(socket, "\r\n"));
            await Wire.SendAsync(socket, "QUIT\r\n");
            Assert.Equal("221 bye\r\n", await Wire.ReadToEndAsync(socket));
        }
    });

    [SkippableTheory]
    [InlineData(7000)]
    [InlineData(9090)]
    public Task Binary_frames_go_both_ways(int port) => machines.RunOnEachAsync("servers", async (network, address) =>
    {
        // As Thrift sends a call, framed: a length, a version, the kind, the method's name.
        byte[] call = [0, 0, 0, 17, 0x80, 1, 0, 1, 0, 0, 0, 4, (byte)'p', (byte)'i', (byte)'n', (byte)'g', 0, 0, 0, 1, 0];
        using var server = network.Played.Play(port, async socket =>
        {
            var buffer = new byte[4096];
            while (await socket.ReceiveAsync(buffer) is > 0 and var count) await socket.SendAsync(buffer.AsMemory(0, count));
        });
        using var socket = await network.Client.Host.ConnectAsync(address, port);
        for (var i = 0; i < 3; i++)
        {
            await socket.SendAsync(call);
            var back = await Wire.ReadAsync(socket, text => text.Length >= call.Length);
            Assert.Equal(call, Encoding.Latin1.GetBytes(back));
        }
    });

    [SkippableTheory]
    [InlineData(7000)]
    [InlineData(7001)]
    public Task Either_side_may_say_that_it_is_done_and_listen_on(int port) => machines.RunOnEachAsync("servers", async (network, address) =>
    {
        using (network.Played.Play(port, async socket =>
        {
            var all = await Wire.ReadToEndAsync(socket);
            await Wire.SendAsync(socket, $"got {all.Length}");
        }))
        {
            using var socket = await network.Client.Host.ConnectAsync(address, port);
            await Wire.SendAsync(socket, new string('a', 300_000));
            socket.Shutdown(SocketShutdown.Send);
            Assert.Equal("got 300000", await Wire.ReadToEndAsync(socket));
        }

        var heard = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        using (network.Played.Play(port, async socket =>
        {
            await Wire.ReadUntilAsync(socket, "begin\n");
            await Wire.SendAsync(socket, "done");
            socket.Shutdown(SocketShutdown.Send);
            heard.TrySetResult(await Wire.ReadToEndAsync(socket));
        }))
        {
            using var socket = await network.Client.Host.ConnectAsync(address, port);
            await Wire.SendAsync(socket, "begin\n");
            Assert.Equal("done", await Wire.ReadToEndAsync(socket));
            await Wire.SendAsync(socket, "and this came after");
            socket.Shutdown(SocketShutdown.Send);
            Assert.Equal("and this came after", await heard.Task.WaitAsync(TimeSpan.FromSeconds(20)));
        }
    });

    [SkippableTheory]
    [InlineData(7000)]
    [InlineData(7001)]
    public Task A_reset_arrives_as_a_reset(int port) => machines.RunOnEachAsync("servers", async (network, address) =>
    {
        var ended = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        using (network.Played.Play(port, async socket =>
        {
            await Wire.ReadUntilAsync(socket, "begin\n");
            await Wire.SendAsync(socket, "begun\n");
            ended.TrySetResult(await Wire.EndAsync(socket));
        }))
        {
            var socket = await network.Client.Host.ConnectAsync(address, port);
            await Wire.SendAsync(socket, "begin\n");
            await Wire.ReadUntilAsync(socket, "begun\n");
            Wire.Reset(socket);
            Assert.Equal("reset", await ended.Task.WaitAsync(TimeSpan.FromSeconds(20)));
        }

        using (network.Played.Play(port, async socket =>
        {
            await Wire.ReadUntilAsync(socket, "begin\n");
            Wire.Reset(socket);
        }))
        {
            using var socket = await network.Client.Host.ConnectAsync(address, port);
            await Wire.SendAsync(socket, "begin\n");
            Assert.Equal("reset", await Wire.EndAsync(socket));
        }
    });

    [SkippableFact]
    public Task Nobody_there_is_seen_as_such() => machines.RunAsync(async network =>
    {
        // The connection is taken by the client's sidecar; that nobody serves the port can only be told by ending it, at once.
        using var socket = await network.Client.Host.ConnectAsync(network.Servers.Host.Address, 7999);
        await Wire.SendAsync(socket, "anybody?");
        Assert.Equal("reset", await Wire.EndAsync(socket));
    });

    [SkippableFact]
    public Task A_stream_is_carried_in_bounded_memory() => StreamAsync(256);

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task A_stream_of_ten_gigabytes_is_carried_in_bounded_memory() => StreamAsync(10 * 1024);

    [SkippableFact]
    public Task Websockets_talk_both_ways() => machines.RunOnEachAsync("servers", async (network, address) =>
    {
        using var server = network.Played.Play(8082, ServeSocketAsync);
        using var socket = new ClientWebSocket();
        using var invoker = new HttpMessageInvoker(new SocketsHttpHandler
        {
            ConnectCallback = async (_, _) => new NetworkStream(await network.Client.Host.ConnectAsync(address, 8082), ownsSocket: true),
        });
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        await socket.ConnectAsync(new Uri("ws://any/"), invoker, limit.Token);
        var buffer = new byte[100_000];
        foreach (var size in (int[])[1, 125, 126, 70_000])
        {
            await socket.SendAsync(new byte[size], WebSocketMessageType.Binary, endOfMessage: true, limit.Token);
            var read = 0;
            ValueWebSocketReceiveResult got;
            do
            {
                got = await socket.ReceiveAsync(buffer.AsMemory(read), limit.Token);
                read += got.Count;
            }
            while (!got.EndOfMessage);
            Assert.Equal(size, read);
        }

        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, "bye", limit.Token);
        Assert.Equal("bye", socket.CloseStatusDescription);
    });

    /// <summary>A server that takes the handshake and sends every message back.</summary>
    private static async Task ServeSocketAsync(Socket socket)
    {
        var head = await Wire.ReadUntilAsync(socket, "\r\n\r\n");
        var key = Regex.Match(head, "(?im)^sec-websocket-key: *(.+)\r$").Groups[1].Value;
        // The protocol's own hash.
#pragma warning disable CA5350
        var accepted = Convert.ToBase64String(SHA1.HashData(Encoding.ASCII.GetBytes(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
#pragma warning restore CA5350
        await Wire.SendAsync(socket, $"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accepted}\r\n\r\n");
        using var talk = WebSocket.CreateFromStream(new NetworkStream(socket), isServer: true, subProtocol: null, TimeSpan.FromMinutes(1));
        var buffer = new byte[4096];
        while (true)
        {
            var got = await talk.ReceiveAsync(buffer, CancellationToken.None);
            if (got.MessageType == WebSocketMessageType.Close)
            {
                await talk.CloseAsync(got.CloseStatus!.Value, got.CloseStatusDescription, CancellationToken.None);
                return;
            }

            await talk.SendAsync(buffer.AsMemory(0, got.Count), got.MessageType, got.EndOfMessage, CancellationToken.None);
        }
    }

    private Task StreamAsync(int megabytes) => machines.RunAsync(async network =>
    {
        var (client, servers) = (network.Client, network.Servers);
        var block = new byte[1 << 20];
        new Random(1).NextBytes(block);
        var received = 0L;
        using var server = network.Played.Play(7000, async socket =>
        {
            var buffer = new byte[1 << 20];
            while (await socket.ReceiveAsync(buffer) is > 0 and var count)
            {
                // Every byte where it belongs.
                var at = (int)(received % block.Length);
                var first = Math.Min(count, block.Length - at);
                if (!buffer.AsSpan(0, first).SequenceEqual(block.AsSpan(at, first)) || !buffer.AsSpan(first, count - first).SequenceEqual(block.AsSpan(0, count - first))) break;
                received += count;
            }

            await Wire.SendAsync(socket, $"{received}");
        });
        using var socket = await client.Host.ConnectAsync("servers", 7000);
        var most = 0L;
        for (var i = 0; i < megabytes; i++)
        {
            for (var sent = 0; sent < block.Length;) sent += await socket.SendAsync(block.AsMemory(sent));
            if (i % 64 == 0) most = Math.Max(most, Math.Max(Resident(client), Resident(servers)));
        }

        socket.Shutdown(SocketShutdown.Send);
        Assert.Equal($"{(long)megabytes << 20}", await Wire.ReadToEndAsync(socket));
        Assert.True(most < 200 << 10, $"a sidecar had {most} kB");
    });

    /// <summary>Memory of a sidecar in kB.</summary>
    private static long Resident(CapturedWorkload workload) =>
        long.Parse(File.ReadLines($"/proc/{workload.Process.Id}/status").First(l => l.StartsWith("VmRSS:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
}
