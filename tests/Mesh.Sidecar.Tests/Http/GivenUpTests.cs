using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Http;
using Mesh.Sidecar.Http.Upstream;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;
using Microsoft.AspNetCore.Http.Features;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>What is left behind when a try is given up in an awkward moment: the next one must find body and connection whole.</summary>
public sealed class GivenUpTests
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(15);

    [Fact]
    public async Task WhatCouldNotBeSentComesAgain()
    {
        using var pair = await Pair.MakeAsync();
        var (exchange, client) = Request();
        await client.WriteAsync("hello"u8.ToArray());
        await client.CompleteAsync();
        var broken = new UpstreamSocket(pair.Far);
        broken.Close();
        await new RequestPump(broken, new WireBuffer(4096)).RunAsync(exchange, _ => { }).WaitAsync(Bound);
        Assert.True(exchange.Body.Rewindable);
        Assert.Equal("5\r\nhello\r\n0\r\n\r\n", await PumpAsync(pair, exchange));
    }

    [Fact]
    public async Task TheEndOfAnEarlierTryDoesNotEndTheNext()
    {
        using var pair = await Pair.MakeAsync();
        var (exchange, client) = Request();
        exchange.Body.Cancel(); // nobody reads: the next read gets it
        var sent = PumpAsync(pair, exchange);
        await client.WriteAsync("hello"u8.ToArray());
        await client.CompleteAsync();
        Assert.EndsWith("0\r\n\r\n", await sent.WaitAsync(Bound), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AGivenUpPumpEnds()
    {
        using var pair = await Pair.MakeAsync();
        var (exchange, _) = Request();
        var pump = new RequestPump(new UpstreamSocket(pair.Near), new WireBuffer(4096));
        var running = pump.RunAsync(exchange, _ => { });
        pump.GiveUp();
        exchange.Body.Cancel();
        await running.WaitAsync(Bound);
        Assert.False(pump.Done);
    }

    [Fact]
    public void ACallThatWasGivenBackIsNotAborted()
    {
        var (exchange, _) = Request();
        var call = new Call();
        exchange.Running(call);
        exchange.Running(null);
        exchange.StopNow(Failure.ClientGone);
        Assert.Equal(0, call.Aborted);
    }

    private static async Task<string> PumpAsync(Pair pair, Exchange exchange)
    {
        await new RequestPump(new UpstreamSocket(pair.Near), new WireBuffer(4096)).RunAsync(exchange, _ => { }).WaitAsync(Bound);
        pair.Near.Shutdown(SocketShutdown.Send);
        using var reader = new StreamReader(new NetworkStream(pair.Other), Encoding.Latin1);
        return await reader.ReadToEndAsync();
    }

    private static (Exchange Exchange, PipeWriter Client) Request()
    {
        var pipe = new Pipe();
        var features = new FeatureCollection();
        features.Set<IHttpRequestFeature>(new HttpRequestFeature { Method = "POST", RawTarget = "/", Protocol = "HTTP/1.1" });
        features.Set<IHttpResponseFeature>(new HttpResponseFeature());
        features.Set<IHttpRequestBodyDetectionFeature>(new HasBody());
        features.Set<IRequestBodyPipeFeature>(new Body(pipe.Reader));
        var listener = Bed.HttpListener(new IPEndPoint(IPAddress.Loopback, 1), Bed.Table(Bed.Cluster()));
        features.Set(new ConnectionFacts(listener, null, null, new Draining()));
        var exchange = new Exchange();
        exchange.Begin(features, 0);
        return (exchange, pipe.Writer);
    }

    private sealed class HasBody : IHttpRequestBodyDetectionFeature
    {
        public bool CanHaveBody => true;
    }

    private sealed record Body(PipeReader Reader) : IRequestBodyPipeFeature;

    /// <summary>Two connected sockets, and one that is not.</summary>
    private sealed record Pair(Socket Near, Socket Other, Socket Far) : IDisposable
    {
        public static async Task<Pair> MakeAsync()
        {
            using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            listener.Listen();
            var near = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            await near.ConnectAsync(listener.LocalEndPoint!);
            return new Pair(near, await listener.AcceptAsync(), new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
        }

        public void Dispose()
        {
            Near.Dispose();
            Other.Dispose();
            Far.Dispose();
        }
    }

    private sealed class Call : IUpstreamCall
    {
        public int Aborted { get; private set; }

        public int Status => 200;

        public string? Reason => null;

        public HeaderList Headers { get; } = new();

        public HeaderList Trailers { get; } = new();

        public bool IsProven => false;

        public long BodyLength => 0;

        public bool IsHeadOnly => false;

        public ValueTask<CallResult> SendAsync(Exchange exchange) => default;

        public ValueTask<CallResult> CopyBodyAsync(PipeWriter to, Exchange exchange) => default;

        public ValueTask<CallResult> TunnelAsync(Stream client, Exchange exchange) => default;

        public void Abort() => Aborted++;

        public ValueTask CloseAsync() => default;
    }
}
