using System.Collections.Concurrent;
using System.Net;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Identity.Records;
using Mesh.ControlPlane.Model;
using Microsoft.AspNetCore.Connections;

namespace Mesh.ControlPlane.Identity.Access;

/// <summary>
/// The connections of the mesh API. Those of an identity that is revoked end at once, with all their streams; those under a root that was dropped
/// end one after the other; those without a certificate are few and short. Thread safe; its owner runs <see cref="RunAsync"/> once.
/// </summary>
internal sealed class CallerConnections : IDisposable
{
    /// <summary>Connections without a certificate at once: enough for a fleet that joins at the rate certificates are issued.</summary>
    public const int MostNameless = 2_000;

    /// <summary>Of them those from one address, so that one machine does not take the place of all.</summary>
    public const int MostOfAddress = MostNameless / 4;

    /// <summary>How long a connection without a certificate lives: it is for one question.</summary>
    public static readonly TimeSpan NamelessFor = TimeSpan.FromSeconds(30);

    /// <summary>Connections under a dropped root that end at once, and the pause before the next: their sidecars come back, and must find room.</summary>
    public const int DroppedAtOnce = 50;

    private static readonly TimeSpan DroppedEvery = TimeSpan.FromSeconds(1);
    private readonly ConcurrentDictionary<ConnectionContext, Caller> open = new();
    private readonly SemaphoreSlim rootsChanged = new(0, 1);
    private readonly CertificateAuthority authority;
    private readonly Revocations revocations;
    private readonly TimeProvider time;
    private readonly Lock counting = new();
    private readonly Dictionary<IPAddress, int> namelessOf = [];
    private int nameless;

    /// <summary>Listens to revocations and to changes of the roots from now on.</summary>
    public CallerConnections(CertificateAuthority authority, Revocations revocations, TimeProvider time)
    {
        (this.authority, this.revocations, this.time) = (authority, revocations, time);
        revocations.Changed += CutRevoked;
        authority.Changed += Wake;
    }

    /// <summary>Ends what was opened under roots that are gone, until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (true)
        {
            await rootsChanged.WaitAsync(stop);
            var cut = 0;
            foreach (var (connection, caller) in open)
            {
                if (connection.Features.Get<ShownCertificate>()?.IsBelieved(authority.Current.Bundle) != false) continue;
                connection.Abort(new ConnectionAbortedException($"the root above the certificate of {caller.Id} is no longer believed"));
                if (++cut % DroppedAtOnce == 0) await Task.Delay(DroppedEvery, time, stop);
            }
        }
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
    public void Dispose()
    {
        revocations.Changed -= CutRevoked;
        authority.Changed -= Wake;
        rootsChanged.Dispose();
    }

    private void Wake()
    {
        // It is looked at once, however often it changed.
        lock (counting)
        {
            if (rootsChanged.CurrentCount == 0) rootsChanged.Release();
        }
    }

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
