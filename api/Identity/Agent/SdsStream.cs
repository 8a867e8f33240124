using System.Collections.Immutable;
using System.Threading.Channels;
using Envoy.Config.Core.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.Xds;

namespace Mesh.Api.Identity.Agent;

/// <summary>
/// One client's stream of secrets: sends what it asked for, again at each change, and only the newest when it is slow. One task reads,
/// one sends; lives as long as the call.
/// </summary>
internal sealed class SdsStream(IdentityAgent agent, MessageWriter<DiscoveryResponse> responses, Log log)
{
    private readonly Lock gate = new();
    private readonly Channel<bool> signals = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private ImmutableSortedSet<string> wanted = [];
    private string sent = "";
    private int nonce;

    /// <summary>Serves until the client half-closes or goes; a client that asks for what is not there is told so.</summary>
    public async Task RunAsync(MessageReader<DiscoveryRequest> requests, CancellationToken cancellation)
    {
        using var life = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        agent.Changed += Signal;
        var reading = ReadAsync(requests, life.Token);
        try
        {
            await foreach (var _ in signals.Reader.ReadAllAsync(life.Token)) await SendAsync(life.Token);
        }
        finally
        {
            agent.Changed -= Signal;
            await life.CancelAsync();
            await reading;
        }
    }

    private void Signal() => signals.Writer.TryWrite(true);

    /// <summary>Never throws: how reading ended is how sending ends.</summary>
    private async Task ReadAsync(MessageReader<DiscoveryRequest> requests, CancellationToken cancellation)
    {
        try
        {
            await foreach (var request in requests.ReadAllAsync(cancellation)) Take(request);
            signals.Writer.TryComplete();
        }
        catch (Exception e)
        {
            signals.Writer.TryComplete(e);
        }
    }

    private void Take(DiscoveryRequest request)
    {
        if (request.TypeUrl.Length > 0 && !TypeUrls.Names(request.TypeUrl, Secret.Descriptor))
            throw new GrpcException(GrpcStatusCode.InvalidArgument, $"here are secrets only, not '{request.TypeUrl}'");
        var unknown = request.ResourceNames.FirstOrDefault(n => n is not (SecretMethods.OwnCertificate or SecretMethods.Roots));
        if (unknown is not null)
            throw new GrpcException(GrpcStatusCode.NotFound, $"there is no secret '{unknown}' here: there are '{SecretMethods.OwnCertificate}' and '{SecretMethods.Roots}'");
        lock (gate)
        {
            // An answer to an older response says nothing about this one.
            if (request.ResponseNonce.Length > 0 && request.ResponseNonce != NonceText) return;
            wanted = [.. request.ResourceNames];
        }

        if (request.ErrorDetail is { } refusal)
            log.Warn("an SDS client refuses its secrets", ("secrets", string.Join(',', request.ResourceNames)), ("reason", refusal.Message));
        Signal();
    }

    private Task SendAsync(CancellationToken cancellation)
    {
        DiscoveryResponse response;
        lock (gate)
        {
            if (agent.Current is not { } credentials || wanted.IsEmpty) return Task.CompletedTask;
            var version = $"{credentials.Svid.Certificate.SerialNumber}.{credentials.Bundle.Fingerprint[..16]}";
            var state = $"{version} {string.Join(',', wanted)}";
            if (string.Equals(state, sent, StringComparison.Ordinal)) return Task.CompletedTask;
            sent = state;
            nonce++;
            response = new DiscoveryResponse { VersionInfo = version, TypeUrl = TypeUrls.Secret, Nonce = NonceText };
            foreach (var name in wanted) response.Resources.Add(Packing.Pack(SecretOf(name, credentials)));
        }

        return responses.WriteAsync(response, cancellation);
    }

    private string NonceText => nonce.ToString(System.Globalization.CultureInfo.InvariantCulture);

    private static Secret SecretOf(string name, Credentials credentials) => name == SecretMethods.OwnCertificate
        ? new Secret
        {
            Name = name,
            TlsCertificate = new TlsCertificate { CertificateChain = Inline(credentials.Svid.ChainPem()), PrivateKey = Inline(credentials.Svid.KeyPem()) },
        }
        : new Secret { Name = name, ValidationContext = new CertificateValidationContext { TrustedCa = Inline(credentials.Bundle.ToPem()) } };

    private static DataSource Inline(string text) => new() { InlineBytes = ByteString.CopyFromUtf8(text) };
}
