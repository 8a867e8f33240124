using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>Upstream connections under mutual TLS that somebody on the way ends in good TCP order, but without TLS's word for it.</summary>
public sealed class CutConnectionsTests
{
    [Theory]
    [InlineData(UpstreamProtocol.Http1)]
    [InlineData(UpstreamProtocol.Http2)]
    internal async Task AnIdleOneIsForgottenAndTheNextRequestMakesAnother(UpstreamProtocol protocol)
    {
        await using var origin = await KestrelOrigin.StartAsync(c => c.Response.WriteAsync("hello"), Of(protocol));
        await using var pair = await Pair.HttpAsync(origin.Address, protocol);
        await using var wire = Between(pair, protocol);
        for (var i = 1; i <= 3; i++)
        {
            Assert.Equal((200, "hello"), await AskAsync(pair));
            await Eventually.TrueAsync(() => pair.Client.Sink.Own.RequestsActive.Value == 0);
            Assert.Equal(i, wire.Carried);
            wire.Cut();
            await Eventually.TrueAsync(() => pair.ClientSecurity.Connections.Open == 0);
            await Eventually.TrueAsync(() => pair.Client.Sink.Own.UpstreamOpen.Value == 0 || protocol == UpstreamProtocol.Http1);
        }
    }

    [Theory]
    [InlineData(UpstreamProtocol.Http1)]
    [InlineData(UpstreamProtocol.Http2)]
    internal async Task ARequestThatWaitsIsAnsweredForIt(UpstreamProtocol protocol)
    {
        var asked = new SemaphoreSlim(0);
        await using var origin = await KestrelOrigin.StartAsync(
            async c =>
            {
                asked.Release();
                await Task.Delay(Timeout.Infinite, c.RequestAborted).ContinueWith(static _ => { }, TaskScheduler.Default);
            },
            Of(protocol));
        await using var pair = await Pair.HttpAsync(origin.Address, protocol);
        await using var wire = Between(pair, protocol);
        using var client = await pair.Client.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: cart\r\n\r\n");
        Assert.True(await asked.WaitAsync(TimeSpan.FromSeconds(30)));
        wire.Cut();
        var answer = await client.ReadAnswerAsync();
        Assert.Equal(502, answer!.Status);
        Assert.Equal(["UC"], answer.Values("x-mesh-failure"));
        await Eventually.TrueAsync(() => pair.ClientSecurity.Connections.Open == 0);
    }

    [Theory]
    [InlineData(UpstreamProtocol.Http1)]
    [InlineData(UpstreamProtocol.Http2)]
    internal async Task AnAnswerIsNotTakenForWhole(UpstreamProtocol protocol)
    {
        await using var origin = await KestrelOrigin.StartAsync(
            async c =>
            {
                await c.Response.WriteAsync("the first part");
                await c.Response.Body.FlushAsync();
                await Task.Delay(Timeout.Infinite, c.RequestAborted).ContinueWith(static _ => { }, TaskScheduler.Default);
            },
            Of(protocol));
        await using var pair = await Pair.HttpAsync(origin.Address, protocol);
        await using var wire = Between(pair, protocol);
        using var client = new HttpMessageInvoker(new SocketsHttpHandler());
        using var message = new HttpRequestMessage(HttpMethod.Get, $"http://{pair.Client.Port}/");
        message.Headers.Host = "cart";
        using var answer = await client.SendAsync(message, CancellationToken.None);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        var body = await answer.Content.ReadAsStreamAsync();
        var buffer = new byte[100];
        var read = await body.ReadAtLeastAsync(buffer, "the first part".Length);
        Assert.Equal("the first part", Encoding.ASCII.GetString(buffer, 0, read));
        wire.Cut();
        await Assert.ThrowsAnyAsync<IOException>(async () => await body.ReadAsync(buffer).AsTask().WaitAsync(TimeSpan.FromSeconds(30)));
        await Eventually.TrueAsync(() => pair.ClientSecurity.Connections.Open == 0 && pair.Client.Sink.Own.RequestsActive.Value == 0);
    }

    private static HttpProtocols Of(UpstreamProtocol protocol) => protocol == UpstreamProtocol.Http2 ? HttpProtocols.Http2 : HttpProtocols.Http1;

    private static async Task<(int Status, string Body)> AskAsync(Pair pair)
    {
        var answer = await pair.Client.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\n\r\n");
        return (answer!.Status, answer.Body);
    }

    /// <summary>From now on the client reaches the server by the wire.</summary>
    private static Wire Between(Pair pair, UpstreamProtocol protocol)
    {
        var wire = new Wire(pair.Server.Port);
        pair.Client.Snapshots.Publish(Bed.Snap(Bed.HttpListener(pair.Client.Port, Bed.Table(Pair.ClusterAt(wire.Address, Pair.Expecting(Authority.Cart), protocol)))));
        return wire;
    }

    /// <summary>Carries bytes between the sidecars, and can end a connection towards the client as its server would: with a FIN.</summary>
    private sealed class Wire : IAsyncDisposable
    {
        private readonly Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        private readonly ConcurrentQueue<(Socket Client, Socket Server)> open = new();
        private readonly IPEndPoint server;
        private readonly Task loop;
        private int carried;

        public Wire(IPEndPoint server)
        {
            this.server = server;
            listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            listener.Listen();
            Address = (IPEndPoint)listener.LocalEndPoint!;
            loop = AcceptAsync();
        }

        public IPEndPoint Address { get; }

        public int Carried => Volatile.Read(ref carried);

        public void Cut()
        {
            while (open.TryDequeue(out var pair))
            {
                pair.Client.Shutdown(SocketShutdown.Send);
                pair.Server.Dispose();
            }
        }

        public async ValueTask DisposeAsync()
        {
            listener.Dispose();
            await loop;
            foreach (var pair in open)
            {
                pair.Client.Dispose();
                pair.Server.Dispose();
            }
        }

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                {
                    var client = await listener.AcceptAsync();
                    var onward = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                    await onward.ConnectAsync(server);
                    open.Enqueue((client, onward));
                    Interlocked.Increment(ref carried);
                    _ = CarryAsync(client, onward);
                    _ = CarryAsync(onward, client);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // The end of the test.
            }
        }

        private static async Task CarryAsync(Socket from, Socket to)
        {
            var buffer = new byte[16 * 1024];
            try
            {
                while (await from.ReceiveAsync(buffer) is > 0 and var count) await to.SendAsync(buffer.AsMemory(0, count));
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // Cut.
            }
        }
    }
}
