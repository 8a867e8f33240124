using System.Net.Sockets;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// The server's side of TLS for an acceptor: shakes hands within its bound, counts, and says why somebody was refused, but not more often than
/// once a second: who is refused may be many. Thread safe.
/// </summary>
internal sealed class SecureAccept(AcceptorParts parts)
{
    private static readonly TimeSpan OneLineEvery = TimeSpan.FromSeconds(1);
    private static readonly byte[] NoApplicationProtocol = [21, 3, 3, 0, 2, 2, 120];
    private readonly Handshake handshake = new(parts.Security);
    private readonly Sparingly sparingly = new(OneLineEvery, parts.Time);

    /// <summary>The secured connection, or null: then it is closed.</summary>
    public async ValueTask<TlsTransport?> AcceptAsync(Socket accepted, DownstreamTls settings, Listener listener)
    {
        using var bound = new CancellationTokenSource(Security.HandshakeBound, parts.Time);
        var remote = accepted.RemoteEndPoint;
        var ongoing = parts.Handshakes.Begin(bound);
        HandshakeResult result;
        try
        {
            result = await handshake.AcceptAsync(accepted, settings, bound.Token);
        }
        finally
        {
            parts.Handshakes.End(ongoing);
        }

        parts.Metrics.HandshakeDone(result.Problem, listener.Direction);
        if (result.Transport is null) Say(listener, remote?.ToString() ?? "unknown", result.Problem, result.Text);
        return result.Transport;
    }

    /// <summary>Tells a connection for which there is no chain why, as far as it understands; the caller closes it.</summary>
    public void Refuse(Socket accepted, Listener listener, in FirstWords words)
    {
        var (problem, text) = words.Detected switch
        {
            Detected.Tls => (HandshakeProblem.Alpn, $"no filter chain is for a TLS client that offers {(words.Hello!.Protocols.IsEmpty ? "no protocol" : string.Join(", ", words.Hello.Protocols))}"),
            Detected.NeedMore => (HandshakeProblem.Timeout, "no whole TLS hello came in time"),
            _ => (HandshakeProblem.Plaintext, "only mutual TLS is taken here (PeerAuthentication STRICT), and it spoke plaintext"),
        };
        var remote = accepted.RemoteEndPoint;
        if (words.Detected == Detected.Tls) Alert(accepted);
        parts.Metrics.HandshakeDone(problem, listener.Direction);
        Say(listener, remote?.ToString() ?? "unknown", problem, text);
    }

    /// <summary>Breaks a captured connection that is not passed on, and says why.</summary>
    public void Refuse(Socket accepted, Listener listener, CaptureRefusal refusal)
    {
        var remote = accepted.RemoteEndPoint;
        Transports.Reset(accepted);
        parts.Metrics.CaptureRefused.Add(listener.Direction == Direction.Inbound ? "inbound" : "outbound", refusal.Reason);
        Say(listener, remote?.ToString() ?? "unknown", refusal.Reason, refusal.Text);
    }

    /// <summary>A few bytes into an empty socket: they go at once or not at all.</summary>
    private static void Alert(Socket accepted)
    {
        accepted.Blocking = false;
        accepted.Send(NoApplicationProtocol, SocketFlags.None, out _);
        accepted.Shutdown(SocketShutdown.Send);
    }

    private void Say(Listener listener, string remote, object reason, string text)
    {
        if (sparingly.Now(out var others)) parts.Log.Warn("a client was refused", ("listener", listener.Name), ("client", remote), ("reason", reason), ("detail", text), ("others_since", others));
    }
}
