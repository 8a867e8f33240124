using System.Net;
using System.Net.Sockets;

namespace Mesh.Cli.Running;

/// <summary>
/// Carries connections of a network namespace to a port on this host's loopback, byte by byte: the control plane, which the sidecar in there proves
/// itself to. Owned by the run; ends with it.
/// </summary>
internal sealed class Relay : IDisposable
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);
    private readonly Socket _listener;
    private readonly IPEndPoint _to;
    private readonly IPAddress _client;
    private readonly CancellationTokenSource _ended = new();

    /// <summary>Listens on an address and carries to <paramref name="to"/> what comes from <paramref name="client"/>; nobody else is served.</summary>
    public Relay(string address, IPEndPoint to, string client)
    {
        (_to, _client) = (to, IPAddress.Parse(client));
        var listening = new IPEndPoint(IPAddress.Parse(address), 0);
        _listener = new Socket(listening.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        _listener.Bind(listening);
        _listener.Listen();
        _ = AcceptAsync(_ended.Token);
    }

    /// <summary>host:port to be used instead.</summary>
    public string Address => _listener.LocalEndPoint!.ToString()!;

    /// <summary>The loopback address and port that a control plane's address means; null when it is reached from anywhere.</summary>
    public static IPEndPoint? Loopback(string controlPlane)
    {
        var text = controlPlane.Contains("://", StringComparison.Ordinal) ? controlPlane[(controlPlane.IndexOf("://", StringComparison.Ordinal) + 3)..] : controlPlane;
        if (text.StartsWith("localhost:", StringComparison.OrdinalIgnoreCase))
            text = string.Concat("127.0.0.1", text.AsSpan("localhost".Length));
        return IPEndPoint.TryParse(text, out var address) && IPAddress.IsLoopback(address.Address) ? address : null;
    }

    public void Dispose()
    {
        _ended.Cancel();
        _listener.Dispose();
        _ended.Dispose();
    }

    private async Task AcceptAsync(CancellationToken ended)
    {
        while (!ended.IsCancellationRequested)
        {
            try
            {
                var client = await _listener.AcceptAsync(ended);
                if (client.RemoteEndPoint is IPEndPoint from && from.Address.Equals(_client))
                    _ = CarryAsync(client, ended);
                else
                    client.Dispose();
            }
            catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
            {
                return; // The run has ended.
            }
            catch (SocketException)
            {
                // No descriptor is left, or it was gone before it was accepted: there are others.
                await Task.Delay(Pause, TimeProvider.System, ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task CarryAsync(Socket client, CancellationToken ended)
    {
        using var closing = client;
        using var server = new Socket(_to.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            client.NoDelay = true;
            await server.ConnectAsync(_to, ended);
            // Both before the first is through: a socket that has said its end counts as not connected.
            await using var ofClient = new NetworkStream(client);
            await using var ofServer = new NetworkStream(server);
            await Task.WhenAll(CopyAsync(ofClient, ofServer, ended), CopyAsync(ofServer, ofClient, ended));
        }
        catch (Exception e) when (e is SocketException or IOException or ObjectDisposedException or OperationCanceledException)
        {
            // Both ends see their connection end.
        }
    }

    private static async Task CopyAsync(NetworkStream from, NetworkStream to, CancellationToken ended)
    {
        try
        {
            await from.CopyToAsync(to, ended);
            to.Socket.Shutdown(SocketShutdown.Send);
        }
        catch
        {
            // One side is gone. The other hears it now, and not when it speaks next.
            from.Socket.Dispose();
            to.Socket.Dispose();
            throw;
        }
    }
}
