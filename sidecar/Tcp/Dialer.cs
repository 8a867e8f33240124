using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Tcp;

/// <summary>
/// Makes connections to endpoints, for all protocols: bounded in time, refused when they would lead back into this sidecar, secured where
/// the endpoint has an identity, counted, and with the consequences for the endpoint's standing. Where an identity is expected nothing is
/// ever sent in plaintext. Thread safe.
/// </summary>
internal sealed class Dialer(Snapshots snapshots, Security security, OwnPorts own, TimeProvider time, Randomness random, SidecarMetrics metrics)
{
    private const int MostAddresses = 3;

    /// <summary>Says of destinations that requests name whether plaintext may go there; null where nobody has to be asked.</summary>
    public DestinationVerdicts? Foreign { get; init; }

    /// <summary>The addresses of endpoints that the configuration names by host.</summary>
    public HostAddresses Hosts { get; init; } = new(System.Net.Dns.GetHostAddressesAsync, time);

    /// <summary>The terms on which an endpoint is called now; null for one that is called in plaintext, or while we have no certificate.</summary>
    public DialTerms? TermsOf(Endpoint endpoint) => endpoint.Tls?.TermsNow(security.Own);

    /// <summary>True when an identity is expected at the endpoint and there are no terms: then nothing may be sent, on a new connection or an old one.</summary>
    public static bool Lacks(Endpoint endpoint, DialTerms? terms) => terms is null && endpoint.Tls is not null;

    /// <summary>The same in words.</summary>
    public static string Uncertified(Endpoint endpoint) => $"{endpoint.Authority} is to be called as {endpoint.Tls!.Expected}, and this sidecar has no certificate yet";

    /// <summary>Connects. On failure there is no transport and the failure says why; a cancelled connect throws.</summary>
    public async ValueTask<Dialled> ConnectAsync(Dial dial, CancellationToken cancel)
    {
        var endpoint = dial.Endpoint;
        if (endpoint.Address is { } known && own.LeadsBack(snapshots.Current, known, dial.Direction)) return Loop(endpoint, dial.Direction);
        if (Lacks(endpoint, dial.Terms)) return new(null, Failure.TlsFailure, Uncertified(endpoint));
        if (endpoint.IsNamed) return await ConnectByNameAsync(dial, cancel);
        if (endpoint is { IsForeign: true, Address: { } named } && await InsteadAsync(dial, named, cancel) is { } otherwise) return otherwise;
        using var bound = new CancellationTokenSource(dial.Timeout, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(bound.Token, cancel);
        using var turn = dial.Terms is null ? default : await endpoint.Stats.Turns.TakeAsync(both.Token);
        var (socket, failure, detail) = await TryConnectAsync(endpoint, CallsItself(dial), both.Token);
        ITransport? transport = null;
        try
        {
            // A name is resolved by connecting: only then it is known where it leads.
            if (socket is not null && endpoint.Address is null && await CheckAsync(socket, dial, cancel) is { } instead)
            {
                socket.Dispose();
                return instead;
            }

            if (socket is not null) (transport, failure, detail) = await SecureAsync(socket, dial, both.Token);
        }
        catch
        {
            socket?.Dispose();
            throw;
        }

        if (cancel.IsCancellationRequested) transport?.Dispose();
        cancel.ThrowIfCancellationRequested();
        if (transport is not null)
        {
            endpoint.Stats.Accepted();
            metrics.UpstreamConnections.Add();
            return new(transport, Failure.None, "");
        }

        metrics.UpstreamConnectFailures.Add();
        if (endpoint.Stats.Refused(time, random)) metrics.Ejections.Add();
        return new(null, failure, detail);
    }

    /// <summary>Tries the addresses of a host one after the other, each for its share of the time.</summary>
    private async ValueTask<Dialled> ConnectByNameAsync(Dial dial, CancellationToken cancel)
    {
        var endpoint = dial.Endpoint;
        try
        {
            using var bound = new CancellationTokenSource(dial.Timeout, time);
            using var both = CancellationTokenSource.CreateLinkedTokenSource(bound.Token, cancel);
            var addresses = await Hosts.OfAsync(endpoint.Host, both.Token);
            var (tries, last) = (Math.Min(addresses.Length, MostAddresses), default(Dialled));
            for (var i = 0; i < tries; i++)
            {
                last = await ConnectAsync(dial with { Endpoint = endpoint.At(new IPEndPoint(addresses[i], endpoint.Port)), Timeout = dial.Timeout / tries }, cancel);
                if (last.Failure is not (Failure.ConnectFailure or Failure.ConnectTimeout)) break;
            }

            return last;
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            return NotFound(endpoint, Failure.ConnectTimeout, "its address did not come in time");
        }
        catch (SocketException e)
        {
            return NotFound(endpoint, Failure.ConnectFailure, $"its address cannot be found: {e.Message}");
        }
    }

    private Dialled NotFound(Endpoint endpoint, Failure failure, string why)
    {
        metrics.UpstreamConnectFailures.Add();
        if (endpoint.Stats.Refused(time, random)) metrics.Ejections.Add();
        return new(null, failure, $"connecting to {endpoint.Authority}: {why}");
    }

    private Dialled Loop(Endpoint endpoint, Direction direction)
    {
        metrics.CaptureRefused.Add(direction == Direction.Inbound ? "inbound" : "outbound", "own_port");
        return new(null, Failure.Loop, $"{endpoint.Authority} is a port of this sidecar itself");
    }

    /// <summary>What becomes of a call whose name led somewhere it may not go; null where it may.</summary>
    private async ValueTask<Dialled?> CheckAsync(Socket socket, Dial dial, CancellationToken cancel)
    {
        if (Reached(socket) is not { } reached) return new Dialled(null, Failure.ConnectFailure, $"connecting to {dial.Endpoint.Authority}: it ended the connection at once");
        if (own.LeadsBack(snapshots.Current, reached, dial.Direction)) return Loop(dial.Endpoint, dial.Direction);
        return dial.Endpoint.IsForeign ? await InsteadAsync(dial, reached, cancel) : null;
    }

    /// <summary>Where a connection leads; null when it has ended already, and nobody can say.</summary>
    private static IPEndPoint? Reached(Socket socket)
    {
        try
        {
            return socket.RemoteEndPoint as IPEndPoint;
        }
        catch (SocketException)
        {
            return null;
        }
    }

    /// <summary>
    /// What becomes of a call to an address that a request named, where plaintext may not go: mutual TLS with whom the control plane says is there,
    /// or a refusal; null where it may. Only a sidecar that captures is told the mesh's addresses.
    /// </summary>
    private async ValueTask<Dialled?> InsteadAsync(Dial dial, IPEndPoint to, CancellationToken cancel)
    {
        var snapshot = snapshots.Current;
        if (Foreign is null || dial.Direction == Direction.Inbound || (snapshot.Ranges is null && !CapturesOutbound(snapshot))) return null;
        var verdict = await Foreign.OfAsync(snapshot, to);
        if (verdict.Refusal is { } refusal)
        {
            metrics.CaptureRefused.Add("outbound", refusal.Reason);
            return new Dialled(null, Failure.UnknownDestination, refusal.Text);
        }

        if (verdict.Meshed is not { Endpoints: [var there] }) return null;
        return await ConnectAsync(dial with { Endpoint = there, Terms = TermsOf(there) }, cancel);
    }

    /// <summary>True when an outbound call leads to this workload, whose inbound traffic is captured: it has to arrive like anybody's.</summary>
    private bool CallsItself(in Dial dial)
    {
        if (dial.Direction == Direction.Inbound || dial.Endpoint.Address is not { } address || IPAddress.IsLoopback(address.Address)) return false;
        foreach (var listener in snapshots.Current.Listeners)
        {
            if (listener is { Direction: Direction.Inbound, IsCaptured: true }) return own.Local.Has(address.Address);
        }

        return false;
    }

    private async ValueTask<Made> TryConnectAsync(Endpoint endpoint, bool callsItself, CancellationToken cancel)
    {
        Socket? socket = null;
        try
        {
            if (endpoint is { ClientAddress: { } client, Address: { } to })
                return new(await SourceAddress.ConnectAsAsync(client, to, random, cancel), Failure.None, "");
            socket = endpoint.Address is { } address
                ? new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp)
                : new Socket(SocketType.Stream, ProtocolType.Tcp);
            socket.NoDelay = true;
            if (callsItself) SourceAddress.BindSelfCall(socket);
            if (endpoint.Address is { } target) await ConnectAsync(socket, target, cancel);
            else await socket.ConnectAsync(endpoint.Host, endpoint.Port, cancel);
            return new(socket, Failure.None, "");
        }
        catch (OperationCanceledException)
        {
            socket?.Dispose();
            return new(null, Failure.ConnectTimeout, $"connecting to {endpoint.Authority} took too long");
        }
        catch (SocketException e)
        {
            socket?.Dispose();
            return new(null, Failure.ConnectFailure, $"connecting to {endpoint.Authority}: {e.Message}");
        }
    }

    /// <summary>Connects, and where rules capture what goes out remembers that it was us: its own port is known as soon as it has begun.</summary>
    private ValueTask ConnectAsync(Socket socket, IPEndPoint to, CancellationToken cancel)
    {
        var connecting = socket.ConnectAsync(to, cancel);
        if (!IPAddress.IsLoopback(to.Address) && CapturesOutbound(snapshots.Current) && LocalEnd.Of(socket) is { } from) own.Dials.Add(from, to);
        return connecting;
    }

    private static bool CapturesOutbound(Snapshot snapshot)
    {
        foreach (var listener in snapshot.Listeners)
        {
            if (listener is { Direction: Direction.Outbound, IsCaptured: true }) return true;
        }

        return false;
    }

    private async ValueTask<Dialled> SecureAsync(Socket socket, Dial dial, CancellationToken bound)
    {
        if (dial.Terms is not { } terms) return new(new SocketTransport(socket), Failure.None, "");
        var result = await new Handshake(security).ConnectAsync(socket, terms, dial.Carried, bound);
        metrics.HandshakeDone(result.Problem, Direction.Outbound);
        if (result.Transport is { } made) dial.Endpoint.Stats.Proven = made.Peer;
        return result.Transport is not null
            ? new(result.Transport, Failure.None, "")
            : new(null, Failure.TlsFailure, $"{dial.Endpoint.Authority}: {result.Text}");
    }

    /// <summary>A socket that is connected, or why there is none. Not a tuple, see <c>Opened</c>.</summary>
    private readonly record struct Made(Socket? Socket, Failure Failure, string Detail);
}

/// <summary>A connection to be made.</summary>
/// <param name="Endpoint">Where to.</param>
/// <param name="Terms">On which terms; null in plaintext.</param>
/// <param name="Carried">What it will carry.</param>
/// <param name="Direction">Which way its traffic goes.</param>
/// <param name="Timeout">Bound of it all, handshake included.</param>
internal readonly record struct Dial(Endpoint Endpoint, DialTerms? Terms, Carried Carried, Direction Direction, TimeSpan Timeout);

/// <summary>A connection that was made, or why there is none.</summary>
internal readonly record struct Dialled(ITransport? Transport, Failure Failure, string Detail);
