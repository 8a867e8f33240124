using System.Collections.Concurrent;
using System.Net;
using Mesh.ControlPlane.Identity.Records;
using Mesh.ControlPlane.Model;
using Microsoft.AspNetCore.Connections;

namespace Mesh.ControlPlane.Identity.Access;

/// <summary>
/// The connections of the mesh API. Those of an identity that is revoked end at once, with all their streams; those without one are few and short.
/// Thread safe; lives as long as the program.
/// </summary>
internal sealed class CallerConnections : IDisposable
{
    /// <summary>Connections without a certificate at once: enough for a fleet that joins at the rate certificates are issued.</summary>
    public const int MostNameless = 2_000;

    /// <summary>Of them those from one address, so that one machine does not take the place of all.</summary>
    public const int MostOfAddress = MostNameless / 4;

    /// <summary>How long a connection without a certificate lives: it is for one question.</summary>
    public static readonly TimeSpan NamelessFor = TimeSpan.FromSeconds(30);

    private readonly ConcurrentDictionary<ConnectionContext, Caller> open = new();
    private readonly Revocations revocations;
    private readonly TimeProvider time;
    private readonly Lock counting = new();
    private readonly Dictionary<IPAddress, int> namelessOf = [];
    private int nameless;

    /// <summary>Listens to revocations from now on.</summary>
    public CallerConnections(Revocations revocations, TimeProvider time)
    {
        (this.revocations, this.time) = (revocations, time);
        revocations.Changed += CutRevoked;
    }

    /// <summary>Connection middleware behind TLS: keeps the connection here as long as it lives.</summary>
    public async Task ServeAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        if (connection.Features.Get<Caller>() is not { } caller)
        {
            await ServeNamelessAsync(connection, next);
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

    // Anybody can open these: they are few and short, so that they never stand in the way of those who are known.
    private async Task ServeNamelessAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        using var life = new CancellationTokenSource(NamelessFor, time);
        await using var end = life.Token.Register(() => connection.Abort(new ConnectionAbortedException("it showed no certificate and stayed too long")));
        var from = (connection.RemoteEndPoint as IPEndPoint)?.Address ?? IPAddress.None;
        try
        {
            if (Count(from, 1)) await next(connection);
            else connection.Abort(new ConnectionAbortedException("too many connections without a certificate"));
        }
        finally
        {
            Count(from, -1);
        }
    }

    // Whether there are not too many with this one.
    private bool Count(IPAddress from, int change)
    {
        lock (counting)
        {
            nameless += change;
            var ofAddress = namelessOf[from] = namelessOf.GetValueOrDefault(from) + change;
            if (ofAddress == 0) namelessOf.Remove(from);
            return nameless <= MostNameless && ofAddress <= MostOfAddress;
        }
    }

    private void CutRevoked()
    {
        foreach (var (connection, caller) in open)
        {
            if (revocations.Contains(caller.Id)) Cut(connection, caller);
        }
    }

    private static void Cut(ConnectionContext connection, Caller caller) => connection.Abort(new ConnectionAbortedException($"{caller.Id} is revoked"));
}
