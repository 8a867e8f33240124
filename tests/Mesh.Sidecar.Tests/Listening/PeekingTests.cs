using System.Net;
using System.Net.Sockets;
using System.Text;
using Mesh.Sidecar.Listening;

namespace Mesh.Sidecar.Tests.Listening;

/// <summary>First bytes are looked at as they come and stay where they are, on kernels that can say what is new and on those that cannot.</summary>
public sealed class PeekingTests : IDisposable
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(20);
    private readonly CancellationTokenSource bound = new(Bound);
    private readonly Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly Socket server;

    public PeekingTests()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        client.Connect(listener.LocalEndPoint!);
        server = listener.Accept();
    }

    public void Dispose()
    {
        client.Dispose();
        server.Dispose();
        bound.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task EachByteIsSeenAndAllAreStillThere(bool isOldKernel)
    {
        var text = string.Concat(Enumerable.Range(0, 400).Select(i => $"{i},"));
        using (var peeking = new Peeking(server, TimeProvider.System) { IsOldKernel = isOldKernel })
        {
            for (var sent = 0; sent < text.Length; sent += 7)
            {
                var piece = text.AsMemory(sent, Math.Min(7, text.Length - sent));
                var more = peeking.MoreAsync(4096, bound.Token).AsTask();
                Assert.False(more.IsCompleted);
                await client.SendAsync(Encoding.ASCII.GetBytes(piece.ToString()), bound.Token);
                Assert.True(await more);
                // One look sees as much as its buffer takes.
                while (peeking.Bytes.Length < sent + piece.Length) Assert.True(await peeking.MoreAsync(4096, bound.Token));
                Assert.Equal(text[..(sent + piece.Length)], Encoding.ASCII.GetString(peeking.Bytes));
            }
        }

        var all = new byte[text.Length];
        Assert.Equal(text.Length, await server.ReceiveAsync(all, bound.Token));
        Assert.Equal(text, Encoding.ASCII.GetString(all));
    }

    /// <summary>Who stops looking hands over a socket that reads at once what was looked at.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task WhatWasLookedAtInVainIsReadAtOnce(bool isOldKernel)
    {
        using var stop = new CancellationTokenSource();
        await client.SendAsync("PI"u8.ToArray(), bound.Token);
        using (var peeking = new Peeking(server, TimeProvider.System) { IsOldKernel = isOldKernel })
        {
            Assert.True(await peeking.MoreAsync(4096, bound.Token));
            var more = peeking.MoreAsync(4096, stop.Token).AsTask();
            await stop.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => more);
        }

        Assert.Equal(2, await server.ReceiveAsync(new byte[16], bound.Token));
    }
}
