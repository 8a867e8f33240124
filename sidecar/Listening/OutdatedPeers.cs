using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// When a root is believed no more, asks the HTTP connections whose client was verified under it to end: GOAWAY, <c>Connection: close</c>, and what
/// stays idle is closed after a while. No request is cut, and what is no HTTP lives on. Owned by <see cref="Acceptors"/>; each change starts one
/// task, which ends by itself.
/// </summary>
internal sealed class OutdatedPeers : IDisposable
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    /// <summary>How long an idle HTTP/1 connection waits for the request that may be on its way to it.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Handshakes that began under the old roots are over by then.</summary>
    private static readonly TimeSpan Bound = Security.HandshakeBound + Patience;

    private readonly AcceptorParts parts;
    private readonly Func<IEnumerable<OpenConnection>> connections;
    private readonly CancellationToken stop;
    private string believed;

    /// <summary>Begins to follow the roots.</summary>
    /// <param name="parts">What acceptors share.</param>
    /// <param name="connections">The connections that are open now.</param>
    /// <param name="stop">The end of it all.</param>
    public OutdatedPeers(AcceptorParts parts, Func<IEnumerable<OpenConnection>> connections, CancellationToken stop)
    {
        (this.parts, this.connections, this.stop) = (parts, connections, stop);
        believed = parts.Security.Own.Current?.Bundle.Fingerprint ?? "";
        parts.Security.Own.Changed += OnChanged;
    }

    /// <inheritdoc/>
    public void Dispose() => parts.Security.Own.Changed -= OnChanged;

    private void OnChanged()
    {
        // One writer sets credentials; most changes are a renewed certificate under the same roots.
        if (parts.Security.Own.Current is not { } now || now.Bundle.Fingerprint == believed) return;
        believed = now.Bundle.Fingerprint;
        _ = AskToEndAsync();
    }

    private async Task AskToEndAsync()
    {
        var began = parts.Time.GetTimestamp();
        var asked = new HashSet<OpenConnection>();
        while (!stop.IsCancellationRequested && parts.Time.GetElapsedTime(began) < Bound)
        {
            var idleToo = parts.Time.GetElapsedTime(began) >= Patience;
            foreach (var connection in Outdated())
            {
                connection.Http!.Leave();
                if (asked.Add(connection) && asked.Count == 1) parts.Log.Info("connections verified under a root that is believed no more are asked to end");
                if (connection.IsHttp2 || idleToo) connection.RequestClose();
            }

            await Task.Delay(Look, parts.Time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private IEnumerable<OpenConnection> Outdated()
    {
        var roots = parts.Security.Own.Current!.Bundle;
        return connections().Where(connection => connection.Http is { } facts && facts.IsOutdated(roots));
    }
}
