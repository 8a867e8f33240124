using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Captured;

/// <summary>A server in a namespace that says who called whom and then sends back what it gets, byte for byte.</summary>
internal sealed class Peer : IDisposable
{
    private readonly Socket listener;
    private readonly ConcurrentBag<Socket> open = [];

    public Peer(NetworkNamespace where, string address, int port, bool speaksFirst = true)
    {
        listener = where.Inside(() =>
        {
            var endpoint = new IPEndPoint(IPAddress.Parse(address), port);
            var socket = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            if (endpoint.AddressFamily == AddressFamily.InterNetworkV6) socket.DualMode = false;
            socket.Bind(endpoint);
            socket.Listen();
            return socket;
        });
        _ = AcceptAsync(speaksFirst);
    }

    /// <summary>Who connected, in order, and what each sent so far.</summary>
    public ConcurrentQueue<(IPEndPoint Client, StringBuilder Sent)> Seen { get; } = new();

    /// <summary>Answers instead of sending back.</summary>
    public string? Answer { get; init; }

    private async Task AcceptAsync(bool speaksFirst)
    {
        try
        {
            while (true)
            {
                var socket = await listener.AcceptAsync();
                open.Add(socket);
                var sent = new StringBuilder();
                Seen.Enqueue(((IPEndPoint)socket.RemoteEndPoint!, sent));
                _ = ServeAsync(socket, sent, speaksFirst);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Closed.
        }
    }

    private async Task ServeAsync(Socket socket, StringBuilder sent, bool speaksFirst)
    {
        try
        {
            if (speaksFirst) await socket.SendAsync(Encoding.ASCII.GetBytes($"at {socket.LocalEndPoint}\n"));
            var buffer = new byte[4096];
            while (await socket.ReceiveAsync(buffer) is > 0 and var count)
            {
                lock (sent) sent.Append(Encoding.Latin1.GetString(buffer, 0, count));
                await socket.SendAsync(Answer is null ? buffer.AsMemory(0, count) : Encoding.Latin1.GetBytes(Answer));
            }

            socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The client is gone.
        }
    }

    public void Dispose()
    {
        listener.Dispose();
        foreach (var socket in open) socket.Dispose();
    }
}
