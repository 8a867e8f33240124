using System.Collections.Immutable;
using System.Security.Cryptography;
using Istio.V1.Auth;
using Mesh.Api.Grpc;

namespace Mesh.Api.Identity.Agent;

/// <summary>One way to ask for a certificate: how the control plane is known, and what the asker proves itself with. Immutable.</summary>
/// <param name="By">What it is, for logs: "the join token".</param>
/// <param name="Trust">How the control plane is known.</param>
/// <param name="Own">The certificate held so far, for the handshake; null with a token.</param>
/// <param name="Token">The bearer token; null with a certificate. A secret.</param>
/// <param name="Expected">The identity that must come out; null where only the control plane knows.</param>
/// <param name="TrustDomain">The trust domain it must be of.</param>
internal sealed record Enrollment(string By, ControlPlaneTrust Trust, Svid? Own, string? Token, SpiffeId? Expected, string TrustDomain)
{
    /// <summary>Never the token.</summary>
    public override string ToString() => By;
}

/// <summary>An answer of the control plane that gives no certificate to be used; the words say why.</summary>
internal sealed class EnrollmentException(string message) : Exception(message);

/// <summary>Asks a control plane for a certificate, once, and believes the answer only when it is what was asked for. Stateless; thread safe.</summary>
internal sealed class CertificateClient(string address, SvidVerifier verifier, TimeProvider time)
{
    /// <summary>How long an answer may take.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>Makes the request; throws <see cref="GrpcException"/> or <see cref="EnrollmentException"/>.</summary>
    public async Task<Credentials> RequestAsync(Enrollment enrollment, ECDsa key, CancellationToken cancellation)
    {
        using var channel = new GrpcChannel(address, new GrpcChannelOptions { Time = time, Tls = () => enrollment.Trust.Tls(enrollment.Own) });
        var options = new CallOptions
        {
            Timeout = Patience,
            Headers = enrollment.Token is null ? null : [new("authorization", "Bearer " + enrollment.Token)],
        };
        var request = new IstioCertificateRequest { Csr = Csr.Create(key, enrollment.Expected) };
        var answer = await channel.UnaryAsync(CertificateMethods.CreateCertificate, request, options, cancellation);
        try
        {
            return Read(answer, enrollment, key);
        }
        catch (FormatException e)
        {
            throw new EnrollmentException("the control plane's answer cannot be used: " + e.Message);
        }
    }

    private Credentials Read(IstioCertificateResponse answer, Enrollment enrollment, ECDsa key)
    {
        if (answer.CertChain.Count < 2) throw new FormatException($"it has {answer.CertChain.Count} parts; a certificate and the roots are at least two");
        var bundle = TrustBundle.FromPem(enrollment.TrustDomain, answer.CertChain[^1]);
        var chain = answer.CertChain.SkipLast(1).SelectMany(pem => CertificatePem.Read(pem)).ToImmutableArray();
        if (!chain[0].PublicKey.ExportSubjectPublicKeyInfo().AsSpan().SequenceEqual(key.ExportSubjectPublicKeyInfo()))
            throw new FormatException("the certificate is for another key than was asked for");
        var verdict = verifier.Verify(chain[0], chain.Skip(1), bundle);
        if (enrollment.Expected is { } expected) verdict = verdict.Expecting(expected.ToString());
        if (!verdict.Ok) throw new FormatException($"the certificate is refused ({verdict.Problem}): {verdict.Text}");
        return new Credentials(Svid.Create(chain[0], chain.Skip(1), key), bundle);
    }
}
