using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Tcp;

/// <summary>
/// Makes connections to endpoints, for all protocols: bounded in time, refused when they would lead back into this sidecar, counted, and
/// with the consequences for the endpoint's standing. Thread safe.
/// </summary>
internal sealed class Dialer(Snapshots snapshots, TimeProvider time, Randomness random, SidecarMetrics metrics)
{
    /// <summary>Connects. On failure the socket is null and the failure says why; a cancelled connect throws.</summary>
    public async ValueTask<(Socket? Socket, Failure Failure, string Detail)> ConnectAsync(
        Endpoint endpoint, Direction direction, TimeSpan timeout, CancellationToken cancel)
    {
        if (endpoint.Address is { } known && OwnAddresses.LeadsBack(snapshots.Current, known, direction))
            return (null, Failure.Loop, $"{endpoint.Authority} is a port of this sidecar itself");
        using var bound = new CancellationTokenSource(timeout, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(bound.Token, cancel);
        var (socket, failure, detail) = await TryConnectAsync(endpoint, both.Token);
        if (cancel.IsCancellationRequested) socket?.Dispose();
        cancel.ThrowIfCancellationRequested();
        // A name is resolved by connecting: only then it is known where it leads.
        if (endpoint.Address is null && socket?.RemoteEndPoint is IPEndPoint named && OwnAddresses.LeadsBack(snapshots.Current, named, direction))
        {
            socket.Dispose();
            return (null, Failure.Loop, $"{endpoint.Authority} is a port of this sidecar itself");
        }

        if (socket is not null)
        {
            endpoint.Stats.Accepted();
            metrics.UpstreamConnections.Add();
            return (socket, Failure.None, "");
        }

        metrics.UpstreamConnectFailures.Add();
        if (endpoint.Stats.Refused(time, random)) metrics.Ejections.Add();
        return (null, failure, detail);
    }

    private static async ValueTask<(Socket? Socket, Failure Failure, string Detail)> TryConnectAsync(Endpoint endpoint, CancellationToken cancel)
    {
        Socket? socket = null;
        try
        {
            socket = endpoint.Address is { } address
                ? new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp)
                : new Socket(SocketType.Stream, ProtocolType.Tcp);
            socket.NoDelay = true;
            if (endpoint.Address is not null) await socket.ConnectAsync(endpoint.Address, cancel);
            else await socket.ConnectAsync(endpoint.Host, endpoint.Port, cancel);
            return (socket, Failure.None, "");
        }
        catch (OperationCanceledException)
        {
            socket?.Dispose();
            return (null, Failure.ConnectTimeout, $"connecting to {endpoint.Authority} took too long");
        }
        catch (SocketException e)
        {
            socket?.Dispose();
            return (null, Failure.ConnectFailure, $"connecting to {endpoint.Authority}: {e.Message}");
        }
    }
}
