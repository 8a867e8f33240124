using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Grpc;
using Mesh.Api.Identity;
using Mesh.ControlPlane.Identity.Issuing;
using Mesh.ControlPlane.Model;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;

namespace Mesh.ControlPlane.Identity.Access;

/// <summary>
/// TLS of the mesh API: 1.3 alone, a client certificate is asked for; who shows one that is not believed, or whose identity is revoked, is refused in
/// the handshake, and who shows none has no <see cref="Caller"/>. Thread safe; lives as long as the port.
/// </summary>
internal sealed class MeshApiTls(IssuingContext issuing, OwnCertificate own, CallerConnections connections, SvidVerifier verifier)
{
    /// <summary>Anybody may connect: more are closed unheard.</summary>
    private const int MostConnections = 30_000;

    private static readonly TimeSpan HandshakeWithin = TimeSpan.FromSeconds(5);

    /// <summary>Puts TLS on a port.</summary>
    public void Configure(ListenOptions listen)
    {
        listen.Protocols = HttpProtocols.Http2;
        GrpcKestrel.Configure(listen.KestrelServerOptions);
        listen.KestrelServerOptions.Limits.MaxConcurrentConnections = MostConnections;
        listen.UseHttps(new TlsHandshakeCallbackOptions
        {
            HandshakeTimeout = HandshakeWithin,
            OnConnection = context => ValueTask.FromResult(OptionsFor(context.Connection)),
        });
        listen.Use(next => connection => connections.ServeAsync(connection, next));
    }

    private SslServerAuthenticationOptions OptionsFor(ConnectionContext connection) => new()
    {
        EnabledSslProtocols = SslProtocols.Tls13,
        ServerCertificateContext = own.Current.TlsContext,
        ClientCertificateRequired = true,
        CertificateChainPolicy = SvidVerifier.HandshakePolicy(),
        CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
        ApplicationProtocols = [SslApplicationProtocol.Http2],
        // A resumed session would not be checked again.
        AllowTlsResume = false,
        AllowRenegotiation = false,
        RemoteCertificateValidationCallback = (_, leaf, chain, _) => leaf is null || Accept(connection, leaf, chain),
    };

    private bool Accept(ConnectionContext connection, X509Certificate leaf, X509Chain? chain)
    {
        var bundle = issuing.Authority.Current.Bundle;
        var verdict = verifier.Verify(leaf, chain, bundle);
        if (!verdict.Ok) return Refuse(connection, verdict.Problem.ToString(), verdict.Text);
        if (issuing.Revocations.Contains(verdict.Id!)) return Refuse(connection, "Revoked", $"{verdict.Id} is revoked");
        connection.Features.Set(new Caller(verdict.Id!));
        connection.Features.Set(new ShownCertificate(verifier, leaf, chain, bundle));
        return true;
    }

    private bool Refuse(ConnectionContext connection, string reason, string text)
    {
        issuing.Metrics.HandshakeRefused(reason);
        issuing.Log.Warn("a client certificate is refused", ("peer", connection.RemoteEndPoint), ("reason", reason), ("error", text));
        return false;
    }
}
