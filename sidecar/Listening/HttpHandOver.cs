using Mesh.Sidecar.Identity;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace Mesh.Sidecar.Listening;

/// <summary>Wraps accepted sockets for Kestrel's engines and hands them over. Thread safe; owned by the data path.</summary>
internal sealed class HttpHandOver(ConnectionFeed feed, SocketConnectionContextFactory wrapper) : IDisposable
{
    private readonly BlockPool blocks = new();

    /// <summary>Hands a connection to an engine; the task ends with the connection. It is plaintext unless it was <paramref name="secured"/>.</summary>
    public async Task ServeAsync(OpenConnection open, ConnectionFacts facts, bool http2, TlsTransport? secured)
    {
        ConnectionContext connection = secured is null ? wrapper.Create(open.Socket) : Wrap(secured);
        connection.Features.Set(facts);
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var ending = connection.ConnectionClosed.UnsafeRegister(static state => ((TaskCompletionSource)state!).TrySetResult(), closed);
        open.ServedBy(connection, http2);
        if (feed.Offer(connection, http2)) await closed.Task;
        else await connection.DisposeAsync();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        wrapper.Dispose();
        blocks.Dispose();
    }

    private SecuredConnection Wrap(TlsTransport secured)
    {
        var connection = new SecuredConnection(secured, blocks);
        connection.Start();
        return connection;
    }
}
