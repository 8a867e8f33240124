using System.Security.Cryptography.X509Certificates;
using Istio.V1.Auth;
using Mesh.Api.Grpc;
using Mesh.Api.Identity;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Identity.Records;
using Mesh.ControlPlane.Identity.Stores;
using Mesh.ControlPlane.Model;
using Microsoft.AspNetCore.Routing;

namespace Mesh.ControlPlane.Identity.Issuing;

/// <summary>What issuing needs. Immutable; lives as long as the program.</summary>
internal sealed record IssuingContext(CertificateAuthority Authority, Revocations Revocations, AuditLog Audit, IssuingMetrics Metrics, TimeProvider Time, Log Log)
{
    /// <summary>Told of each certificate that was issued, and to which address; must not block.</summary>
    public Action<IssuedCertificate, Credential, string> OnIssued { get; init; } = (_, _, _) => { };
}

/// <summary>
/// Serves <c>istio.v1.auth.IstioCertificateService/CreateCertificate</c>: whom the certificate names is decided by who the caller proved to be; of
/// the request only its key is used. Limited in rate; each answer is a line of the audit log. Thread safe.
/// </summary>
internal sealed class CertificateEndpoint(IssuingContext context, CallerCredentials credentials)
{
    /// <summary>
    /// Requests a second that are looked at, and how many at once after a pause: so many of callers with a certificate, and as many of those without.
    /// </summary>
    public const int Rate = 50, Burst = 100;

    /// <summary>Of them those of one identity, and those of one address that shows no certificate.</summary>
    public const int RateOfIdentity = 10, RateOfAddress = 25;

    private const int LargestRequest = 64 * 1024;

    // Apart, so that nobody who only reaches the port keeps a workload from renewing.
    private readonly FairLimit known = new(Rate, Burst, RateOfIdentity, context.Time);
    private readonly FairLimit unknown = new(Rate, Burst, RateOfAddress, context.Time);

    /// <summary>The path of its only method, which also answers callers that have no certificate yet.</summary>
    public static string Path => CertificateMethods.CreateCertificate.Path;

    /// <summary>Adds the service to an application.</summary>
    public void Map(IEndpointRouteBuilder endpoints) =>
        endpoints.MapGrpcUnary(CertificateMethods.CreateCertificate, CreateAsync, new GrpcServerOptions { MaxReceiveMessageSize = LargestRequest });

    private async Task<IstioCertificateResponse> CreateAsync(IstioCertificateRequest request, ServerCallContext call)
    {
        var caller = call.Http.Features.Get<Caller>();
        if (!(caller is null ? unknown.TryTake(AddressOf(call)) : known.TryTake(caller.Id.ToString())))
        {
            context.Metrics.Refused("rate");
            throw new GrpcException(GrpcStatusCode.ResourceExhausted, caller is null
                ? $"more than {RateOfAddress} certificates a second are asked for from {AddressOf(call)}, or {Rate} in all; try again in a while"
                : $"more than {RateOfIdentity} certificates a second are asked for by {caller.Id}, or {Rate} in all; try again in a while");
        }

        // The key first: a token is not used up by a request that could not be granted.
        if (!Csr.TryReadKey(request.Csr, out var key, out var problem)) throw Refuse(call, null, new Refusal("csr", problem), GrpcStatusCode.InvalidArgument);
        var credential = await CredentialAsync(call, key);
        if (context.Revocations.Contains(credential.Id))
            throw Refuse(call, credential, new Refusal("revoked", $"{credential.Id} is revoked: it gets no certificate until that is taken back"), GrpcStatusCode.PermissionDenied);
        if (credential.Id == ControlPlaneId.Of(context.Authority.TrustDomain))
            throw Refuse(call, credential, new Refusal("control_plane", $"{credential.Id} is the control plane's own identity"), GrpcStatusCode.PermissionDenied);
        return Issue(call, credential, key, request.ValidityDuration);
    }

    private async Task<Credential> CredentialAsync(ServerCallContext call, PublicKey key)
    {
        try
        {
            var (credential, refusal) = await credentials.ReadAsync(call.Http, key, call.Cancellation);
            return credential ?? throw Refuse(call, null, refusal!, GrpcStatusCode.Unauthenticated);
        }
        catch (StoreException e)
        {
            context.Log.Error("a join token cannot be looked at", ("error", e.Message));
            throw Refuse(call, null, new Refusal("store", "the control plane cannot tell now whether the join token was used: its store is away; its log says more"), GrpcStatusCode.Unavailable);
        }
    }

    private IstioCertificateResponse Issue(ServerCallContext call, Credential credential, PublicKey key, long seconds)
    {
        IssuedCertificate issued;
        try
        {
            TimeSpan? asked = seconds is > 0 and < int.MaxValue ? TimeSpan.FromSeconds(seconds) : null;
            issued = context.Authority.Issue(credential.Id, key, credential.Holder, asked);
        }
        catch (IssuingException e)
        {
            context.Log.Error("no certificate can be issued", ("error", e.Message));
            throw Refuse(call, credential, new Refusal("authority", e.Message), GrpcStatusCode.Unavailable);
        }

        context.Metrics.Issued(credential.By);
        context.Audit.Write(new AuditEvent(context.Time.GetUtcNow(), "issued")
        {
            Identity = credential.Id.ToString(),
            By = credential.By,
            Holder = credential.Holder.Id,
            Serial = issued.Leaf.SerialNumber.ToLowerInvariant(),
            NotBefore = new DateTimeOffset(issued.Leaf.NotBefore.ToUniversalTime(), TimeSpan.Zero),
            NotAfter = issued.NotAfter,
            Peer = PeerOf(call),
        });
        context.OnIssued(issued, credential, PeerOf(call));
        var response = new IstioCertificateResponse { CertChain = { CertificatePem.Write([issued.Leaf]) } };
        response.CertChain.AddRange(issued.Chain.Select(above => CertificatePem.Write([above])));
        response.CertChain.Add(issued.Bundle.ToPem());
        return response;
    }

    private GrpcException Refuse(ServerCallContext call, Credential? credential, Refusal refusal, GrpcStatusCode code)
    {
        context.Metrics.Refused(refusal.Reason);
        context.Audit.Write(new AuditEvent(context.Time.GetUtcNow(), AuditLog.RefusedEvent)
        {
            Identity = credential?.Id.ToString(),
            By = credential?.By,
            Reason = refusal.Reason,
            Text = refusal.Text,
            Peer = PeerOf(call),
        });
        context.Log.Warn("a certificate is refused", ("identity", credential?.Id), ("peer", PeerOf(call)), ("reason", refusal.Reason), ("error", refusal.Text));
        return new GrpcException(code, refusal.Text);
    }

    private static string AddressOf(ServerCallContext call) => call.Http.Connection.RemoteIpAddress?.ToString() ?? "nowhere";

    private static string PeerOf(ServerCallContext call) => $"{call.Http.Connection.RemoteIpAddress}:{call.Http.Connection.RemotePort}";
}
