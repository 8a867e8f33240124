using Mesh.Sidecar.Identity;
using Microsoft.AspNetCore.Connections;

namespace Mesh.Sidecar.Listening;

/// <summary>Wraps accepted sockets for Kestrel's engines and hands them over. Thread safe; owned by the data path.</summary>
internal sealed class HttpHandOver(ConnectionFeed feed, TimeProvider time) : IDisposable
{
    private readonly BlockPool blocks = new();

    /// <summary>Hands a connection in plaintext to an engine; the task ends with the connection.</summary>
    public Task ServeAsync(OpenConnection open, ConnectionFacts facts, bool http2)
    {
        var connection = new EngineConnection(new SocketTransport(open.Socket), blocks);
        connection.Start();
        return ServeAsync(open, connection, facts, http2);
    }

    /// <summary>
    /// Hands a secured connection to an engine; the task ends with the connection. Where neither configuration nor handshake say which HTTP it
    /// is (<paramref name="http2"/> null), its first bytes do.
    /// </summary>
    public async Task ServeSecuredAsync(OpenConnection open, ConnectionFacts facts, bool? http2, TlsTransport secured)
    {
        var connection = new EngineConnection(secured, blocks);
        connection.Start();
        try
        {
            http2 ??= await connection.SpeaksHttp2Async(FirstBytes.HeadBound, time);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // It was gone before its first byte, or cut since none came: no engine will end it.
            await connection.DisposeAsync();
            return;
        }

        await ServeAsync(open, connection, facts, http2.Value);
    }

    private async Task ServeAsync(OpenConnection open, ConnectionContext connection, ConnectionFacts facts, bool http2)
    {
        connection.Features.Set(facts);
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var ending = connection.ConnectionClosed.UnsafeRegister(static state => ((TaskCompletionSource)state!).TrySetResult(), closed);
        open.ServedBy(connection, facts, http2);
        if (feed.Offer(connection, http2)) await closed.Task;
        else await connection.DisposeAsync();
    }

    /// <inheritdoc/>
    public void Dispose() => blocks.Dispose();
}
