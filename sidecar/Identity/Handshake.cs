using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// Both sides of mutual TLS: 1.3 only, both certificates, nothing resumed (who was let in once is looked at again), no name but the SPIFFE ID.
/// The runtime is told that it may resume where <see cref="OpenSslSettings"/> can see to it that it does not: only then connections share their contexts.
/// A failed handshake has closed its socket. Stateless; thread safe.
/// </summary>
internal sealed class Handshake(Security security)
{
    /// <summary>Answers a client. Cancellation is the caller's bound.</summary>
    public ValueTask<HandshakeResult> AcceptAsync(Socket socket, DownstreamTls settings, CancellationToken bound)
    {
        if (settings.CredentialsNow(security.Own) is not { } credentials) return new(NotCertified(socket));
        var check = new PeerCheck(security, credentials, settings.Allowed);
        var options = new SslServerAuthenticationOptions
        {
            ServerCertificateContext = credentials.Svid.TlsContext,
            ClientCertificateRequired = true,
            EnabledSslProtocols = SslProtocols.Tls13,
            AllowTlsResume = security.SharesContexts,
            AllowRenegotiation = false,
            ApplicationProtocols = settings.Offer,
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            CertificateChainPolicy = SvidVerifier.HandshakePolicy(),
            RemoteCertificateValidationCallback = check.Validate,
        };
        return RunAsync(socket, check, options.AllowTlsResume, tls => tls.AuthenticateAsServerAsync(options, bound), bound);
    }

    /// <summary>Calls a server. Cancellation is the caller's bound.</summary>
    public async ValueTask<HandshakeResult> ConnectAsync(Socket socket, DialTerms terms, Carried carried, CancellationToken bound)
    {
        var check = new PeerCheck(security, terms.Credentials, terms.Tls.Expected);
        var offer = terms.Tls.Offer(carried);
        var options = new SslClientAuthenticationOptions
        {
            TargetHost = terms.Tls.Sni,
            ClientCertificateContext = terms.Credentials.Svid.TlsContext,
            EnabledSslProtocols = SslProtocols.Tls13,
            AllowTlsResume = security.SharesContexts,
            AllowRenegotiation = false,
            ApplicationProtocols = offer.Count == 0 ? null : offer,
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            CertificateChainPolicy = SvidVerifier.HandshakePolicy(),
            RemoteCertificateValidationCallback = check.Validate,
        };
        var result = await RunAsync(socket, check, options.AllowTlsResume, tls => tls.AuthenticateAsClientAsync(options, bound), bound);
        if (result.Transport is not { } made || offer.Count == 0 || made.Protocol.Length > 0) return result;
        made.Reset();
        return new HandshakeResult(null, HandshakeProblem.Alpn, $"the peer speaks none of {string.Join(", ", offer)}");
    }

    private async ValueTask<HandshakeResult> RunAsync(Socket socket, PeerCheck check, bool shares, Func<SslStream, Task> authenticate, CancellationToken bound)
    {
        var wire = new TlsSocketStream(socket);
        var tls = new SslStream(wire, leaveInnerStreamOpen: false);
        // When it waits for the peer nobody is at the connection below.
        wire.InHandshake = () => OpenSslSettings.Apply(tls);
        try
        {
            await authenticate(tls);
            if (shares && !(wire.InHandshake is null && OpenSslSettings.IsNew(tls))) return await NotNewAsync(tls);
            wire.InHandshake = null;
            var transport = new TlsTransport(tls, wire, socket, check.Peer!);
            security.Connections.Add(transport);
            return new HandshakeResult(transport, HandshakeProblem.None, "");
        }
        catch (Exception e) when (Transports.IsBreak(e) || e is AuthenticationException or OperationCanceledException or InvalidOperationException)
        {
            var (problem, text) = Explain(e, check, wire, bound);
            socket.Dispose();
            await tls.DisposeAsync();
            return new HandshakeResult(null, problem, text);
        }
    }

    private static (HandshakeProblem Problem, string Text) Explain(Exception e, PeerCheck check, TlsSocketStream wire, CancellationToken bound)
    {
        if (check.Problem != HandshakeProblem.None) return (check.Problem, check.Text);
        if (bound.IsCancellationRequested) return (HandshakeProblem.Timeout, "the TLS handshake took too long");
        if (e is AuthenticationException)
        {
            var cause = e.InnerException?.InnerException?.Message ?? e.InnerException?.Message ?? e.Message;
            var alpn = cause.Contains("no application protocol", StringComparison.OrdinalIgnoreCase) || cause.Contains("alert number 120", StringComparison.OrdinalIgnoreCase);
            return (alpn ? HandshakeProblem.Alpn : HandshakeProblem.Protocol, cause);
        }

        return (HandshakeProblem.Closed, wire.SawEnd ? "the peer closed the connection in the TLS handshake" : $"the connection broke in the TLS handshake: {e.Message}");
    }

    /// <summary>Never seen: a session came out resumed, or OpenSSL was not told that none may be. What follows is without sharing, and safe.</summary>
    private async ValueTask<HandshakeResult> NotNewAsync(SslStream tls)
    {
        security.StopSharing();
        await tls.DisposeAsync();
        return new HandshakeResult(null, HandshakeProblem.Protocol, "the TLS session was resumed, or could have been: each has to begin anew");
    }

    private static HandshakeResult NotCertified(Socket socket)
    {
        socket.Dispose();
        return new HandshakeResult(null, HandshakeProblem.NotCertified, "this sidecar has no certificate yet");
    }
}
