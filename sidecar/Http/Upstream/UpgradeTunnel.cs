using System.Net.Sockets;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// Carries bytes both ways between a client's upgraded connection and an upstream, until either side ends: a WebSocket that ended on one
/// side is over, both have said goodbye in frames or will not. One per upgrade; <paramref name="abort"/> ends the upstream's side.
/// </summary>
internal sealed class UpgradeTunnel(IUpstreamSocket socket, WireBuffer received, Stream client, Exchange exchange, Action abort)
{
    private const int Buffer = 4 * 1024;

    /// <summary>Runs to the end.</summary>
    public async ValueTask<CallResult> RunAsync()
    {
        using var over = new CancellationTokenSource();
        var upward = CarryUpAsync(over.Token);
        try
        {
            while (true)
            {
                // What came behind the head of the answer goes first.
                if (received.Count > 0) await client.WriteAsync(received.FilledMemory, CancellationToken.None);
                exchange.Facts.ResponseBytes += received.Count;
                received.Clear();
                received.Reserve(1);
                var count = await socket.ReceiveAsync(received.Free);
                if (count <= 0) break;
                received.Produce(count);
            }
        }
        catch (Exception e) when (IsEndOfClient(e))
        {
            // The upstream hears it below.
        }

        abort();
        await over.CancelAsync();
        await upward;
        return CallResult.Ok;
    }

    private async Task CarryUpAsync(CancellationToken over)
    {
        var buffer = new byte[Buffer];
        try
        {
            while (await client.ReadAsync(buffer, over) is > 0 and var count)
            {
                exchange.Facts.RequestBytes += count;
                await socket.SendAsync(buffer.AsMemory(0, count));
            }

            socket.ShutdownSend();
        }
        catch (Exception e) when (e is SocketException || IsEndOfClient(e))
        {
            abort();
        }
    }

    private static bool IsEndOfClient(Exception e) =>
        e is IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException;
}
