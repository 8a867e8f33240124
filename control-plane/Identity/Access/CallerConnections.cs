using System.Collections.Concurrent;
using Mesh.ControlPlane.Identity.Records;
using Mesh.ControlPlane.Model;
using Microsoft.AspNetCore.Connections;

namespace Mesh.ControlPlane.Identity.Access;

/// <summary>
/// The connections of the mesh API whose callers proved who they are: those of an identity that is revoked end at once, with all their streams.
/// Thread safe; lives as long as the program.
/// </summary>
internal sealed class CallerConnections : IDisposable
{
    private readonly ConcurrentDictionary<ConnectionContext, Caller> open = new();
    private readonly Revocations revocations;

    /// <summary>Listens to revocations from now on.</summary>
    public CallerConnections(Revocations revocations)
    {
        this.revocations = revocations;
        revocations.Changed += CutRevoked;
    }

    /// <summary>Connection middleware behind TLS: keeps the connection here as long as it lives.</summary>
    public async Task ServeAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        if (connection.Features.Get<Caller>() is not { } caller)
        {
            await next(connection);
            return;
        }

        open[connection] = caller;
        try
        {
            // It may have been revoked between the handshake and the line above.
            if (revocations.Contains(caller.Id)) Cut(connection, caller);
            else await next(connection);
        }
        finally
        {
            open.TryRemove(connection, out _);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => revocations.Changed -= CutRevoked;

    private void CutRevoked()
    {
        foreach (var (connection, caller) in open)
        {
            if (revocations.Contains(caller.Id)) Cut(connection, caller);
        }
    }

    private static void Cut(ConnectionContext connection, Caller caller) => connection.Abort(new ConnectionAbortedException($"{caller.Id} is revoked"));
}
