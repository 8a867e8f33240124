using System.Net;
using System.Net.Sockets;

namespace Mesh.Cli.Running;

/// <summary>
/// Carries connections of a network namespace to a port on this host's loopback, byte by byte: the control plane, which the sidecar in there proves
/// itself to. Owned by the run; ends with it.
/// </summary>
internal sealed class Relay : IDisposable
{
    private readonly TcpListener _listener;
    private readonly IPEndPoint _to;
    private readonly CancellationTokenSource _ended = new();

    public Relay(string address, IPEndPoint to)
    {
        _to = to;
        _listener = new TcpListener(IPAddress.Parse(address), 0);
        _listener.Start();
        _ = AcceptAsync();
    }

    /// <summary>host:port to be used instead.</summary>
    public string Address => _listener.LocalEndpoint.ToString()!;

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

    private async Task AcceptAsync()
    {
        var ended = _ended.Token;
        try
        {
            while (true)
                _ = CarryAsync(await _listener.AcceptTcpClientAsync(ended), ended);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // The run has ended.
        }
    }

    private async Task CarryAsync(TcpClient client, CancellationToken ended)
    {
        using (client)
        {
            using var server = new TcpClient(_to.AddressFamily) { NoDelay = true };
            client.NoDelay = true;
            try
            {
                await server.ConnectAsync(_to, ended);
                await Task.WhenAll(CopyAsync(client, server, ended), CopyAsync(server, client, ended));
            }
            catch (Exception e) when (e is SocketException or IOException or ObjectDisposedException or OperationCanceledException)
            {
                // Both ends see their connection end.
            }
        }
    }

    private static async Task CopyAsync(TcpClient from, TcpClient to, CancellationToken ended)
    {
        await from.GetStream().CopyToAsync(to.GetStream(), ended);
        to.Client.Shutdown(SocketShutdown.Send);
    }
}
