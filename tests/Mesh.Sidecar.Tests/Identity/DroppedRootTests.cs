using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Mesh.Api.Identity;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>
/// A root is believed no more: connections whose client was verified under it are asked to end by the server's side too, whatever the client
/// does. No request is cut, and what is no HTTP lives on.
/// </summary>
public sealed class DroppedRootTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: cart\r\n\r\n";
    private static readonly byte[] Preface = Encoding.ASCII.GetBytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0");
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task TheNextAnswerSaysThatTheConnectionEnds()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(app.Address);
        var second = Believe(pair);
        await using var old = await ConnectAsync(pair, pair.Authority, Alpn.MeshHttp1);
        await using var young = await ConnectAsync(pair, second, Alpn.MeshHttp1);
        foreach (var client in (SslStream[])[old, young]) Assert.DoesNotContain("Connection: close", await AskAsync(client), StringComparison.OrdinalIgnoreCase);

        Drop(pair, second);
        await Eventually.TrueAsync(() => pair.Server.Output.ToString().Contains("believed no more", StringComparison.Ordinal));
        Assert.Contains("Connection: close", await AskAsync(old), StringComparison.OrdinalIgnoreCase);
        Assert.Equal(0, await old.ReadAsync(new byte[1]).AsTask().WaitAsync(Bound));
        Assert.DoesNotContain("Connection: close", await AskAsync(young), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task WhatIsIdleIsClosedAfterAWhileAndOthersAreNot()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(app.Address);
        var second = Believe(pair);
        await using var old = await ConnectAsync(pair, pair.Authority, Alpn.MeshHttp1);
        await using var young = await ConnectAsync(pair, second, Alpn.MeshHttp1);
        foreach (var client in (SslStream[])[old, young]) await AskAsync(client);
        Drop(pair, second);
        Assert.Equal(0, await old.ReadAsync(new byte[1]).AsTask().WaitAsync(Bound));
        await AskAsync(young);
    }

    [Fact]
    public async Task Http2IsToldToGoAway()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(app.Address);
        var second = Believe(pair);
        await using var old = await ConnectAsync(pair, pair.Authority, Alpn.MeshHttp2);
        await old.WriteAsync(Preface);
        await Eventually.TrueAsync(() => pair.ServerSecurity.Connections.Open == 1);
        Drop(pair, second);
        var frame = new byte[9];
        byte type;
        do
        {
            await old.ReadExactlyAsync(frame).AsTask().WaitAsync(Bound);
            type = frame[3];
            await old.ReadExactlyAsync(new byte[(frame[0] << 16) | (frame[1] << 8) | frame[2]]).AsTask().WaitAsync(Bound);
        }
        while (type != 7);
    }

    [Fact]
    public async Task ARequestUnderWayIsAnsweredAndBytesFlowOn()
    {
        var mayAnswer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var app = await KestrelOrigin.StartAsync(async c =>
        {
            await mayAnswer.Task;
            await c.Response.WriteAsync("hello");
        }, HttpProtocols.Http1);
        await using var echo = new RecordingOrigin(async c =>
        {
            while (await c.ReadAsync(1) is { Length: 1 } one) await c.SendAsync(one);
        });
        await using var pair = await Pair.HttpAsync(app.Address);
        await using var streams = await Pair.TcpAsync(echo.Address, pair.Authority);
        var (second, _) = (Believe(pair), Believe(streams));
        using var stream = await streams.Client.ConnectAsync();
        await stream.SendAsync("x");
        Assert.Equal("x", await stream.ReadAsync(1));
        await using var idle = await ConnectAsync(pair, pair.Authority, Alpn.MeshHttp1);
        await using var slow = await ConnectAsync(pair, pair.Authority, Alpn.MeshHttp1);
        await slow.WriteAsync(Encoding.ASCII.GetBytes(Get));
        await Eventually.TrueAsync(() => pair.ServerSecurity.Connections.Open == 2);

        Drop(pair, second);
        Drop(streams, second);
        // The idle one is through: the patience is over for all.
        Assert.Equal(0, await idle.ReadAsync(new byte[1]).AsTask().WaitAsync(Bound));
        mayAnswer.SetResult();
        Assert.Contains("hello", await ReadAsync(slow, "hello"), StringComparison.Ordinal);
        await stream.SendAsync("y");
        Assert.Equal("y", await stream.ReadAsync(1));
        Assert.Equal(1, streams.ServerSecurity.Connections.Open);
    }

    /// <summary>As the control plane goes about it: everybody believes both, everybody has a certificate of the second, the first is dropped.</summary>
    [Theory]
    [InlineData(UpstreamProtocol.Http1)]
    [InlineData(UpstreamProtocol.Http2)]
    internal async Task AChangeOfRootsUnderLoadFailsNoRequest(UpstreamProtocol protocol)
    {
        await using var app = await KestrelOrigin.StartAsync(c => c.Response.WriteAsync("hello"),
            protocol == UpstreamProtocol.Http2 ? HttpProtocols.Http2 : HttpProtocols.Http1);
        await using var pair = await Pair.HttpAsync(app.Address, protocol);
        using var stop = new CancellationTokenSource();
        var load = Enumerable.Range(0, 8).Select(_ => Task.Run(() => LoadAsync(pair, stop.Token))).ToList();
        await Eventually.TrueAsync(() => pair.Server.Sink.Own.Handshakes.ValueOf("inbound") > 0);
        var second = Believe(pair);
        foreach (var security in (Security[])[pair.ServerSecurity, pair.ClientSecurity])
        {
            var id = security == pair.ServerSecurity ? Authority.Cart : Authority.Web;
            security.Own.Set(second.For(id, believing: security.Own.Current!.Bundle));
        }

        // The control plane drops a root when nobody's certificate is under it any more. The server hears it first.
        var (made, answered) = (pair.Server.Sink.Own.Handshakes.ValueOf("inbound"), Answered(pair));
        await Eventually.TrueAsync(() => Answered(pair) > answered + 500 && pair.Server.Sink.Own.Handshakes.ValueOf("inbound") > 1);
        Drop(pair, second);
        answered = Answered(pair);
        await Eventually.TrueAsync(() => Answered(pair) > answered + 500);
        pair.ClientSecurity.Own.Set(pair.ClientSecurity.Own.Current! with { Bundle = second.Bundle });
        // Until the patience with what is idle is over, and more.
        await Task.Delay(TimeSpan.FromSeconds(3));
        Assert.True(pair.Server.Sink.Own.Handshakes.ValueOf("inbound") > made);
        await stop.CancelAsync();
        Assert.NotEqual(0, (await Task.WhenAll(load)).Sum());
    }

    private static double Answered(Pair pair) => pair.Server.Sink.Traffic.Requests.All.Sum(s => (double)s.Latency.Count());

    private static async Task<int> LoadAsync(Pair pair, CancellationToken stop)
    {
        var sent = 0;
        using var client = await pair.Client.ConnectAsync();
        for (; !stop.IsCancellationRequested; sent++)
        {
            await client.SendAsync(Get);
            var answer = await client.ReadAnswerAsync();
            Assert.True(answer is { Status: 200 }, answer?.Head + answer?.Body);
        }

        return sent;
    }

    /// <summary>Both sides believe a second authority beside the first.</summary>
    private static Authority Believe(Pair pair)
    {
        var second = new Authority();
        var both = new TrustBundle("cluster.local", [.. pair.Authority.Bundle.Roots, .. second.Bundle.Roots]);
        foreach (var security in (Security[])[pair.ServerSecurity, pair.ClientSecurity]) security.Own.Set(security.Own.Current! with { Bundle = both });
        return second;
    }

    /// <summary>The server believes the second alone.</summary>
    private static void Drop(Pair pair, Authority second) => pair.ServerSecurity.Own.Set(pair.ServerSecurity.Own.Current! with { Bundle = second.Bundle });

    private static async Task<SslStream> ConnectAsync(Pair pair, Authority authority, string protocol)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(pair.Server.Port);
        var stream = new SslStream(new NetworkStream(socket, ownsSocket: true), leaveInnerStreamOpen: false);
        await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "cart",
            ApplicationProtocols = [new SslApplicationProtocol(protocol)],
            ClientCertificateContext = authority.For(Authority.Web).Svid.TlsContext,
            RemoteCertificateValidationCallback = (_, _, _, _) => true,
        });
        return stream;
    }

    private static async Task<string> AskAsync(SslStream client)
    {
        await client.WriteAsync(Encoding.ASCII.GetBytes(Get));
        var answer = await ReadAsync(client, "hello");
        Assert.StartsWith("HTTP/1.1 200", answer, StringComparison.Ordinal);
        return answer;
    }

    private static async Task<string> ReadAsync(SslStream client, string until)
    {
        var (text, buffer) = ("", new byte[4096]);
        while (!text.Contains(until, StringComparison.Ordinal) && await client.ReadAsync(buffer).AsTask().WaitAsync(Bound) is > 0 and var count)
            text += Encoding.Latin1.GetString(buffer, 0, count);
        return text;
    }
}
