using Mesh.Api.Rbac;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Http.Upstream;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Http;

/// <summary>
/// Asks the policies of a chain about each request, by what was proved in the handshake and by what the application would get. Stateless, any
/// thread.
/// </summary>
internal sealed class RequestAuthorizer(Authorizer authorizer, SidecarMetrics metrics)
{
    /// <summary>
    /// Refuses with 403 what policies refuse, and with 400 a path without a single meaning where a rule looks at paths: whatever the rule
    /// says, some server would read it otherwise.
    /// </summary>
    public CallResult Check(Exchange x, Authorization rules, Listener listener)
    {
        using var path = rules.LooksAtPath ? CanonicalPath.Read(x.Target) : default;
        if (rules.ReadsPath && path.Problem is { } problem)
        {
            metrics.RefusedRequests.Add();
            return new CallResult(Failure.BadRequest, $"{problem}, and rules here decide by paths");
        }

        var addresses = x.Connection.Addresses;
        var request = new RbacRequest
        {
            Method = x.Facts.Method,
            Path = path,
            Authority = x.Facts.Authority,
            Fields = x.RuleFields,
            Principal = x.Connection.Peer?.Uri,
            Source = addresses.Source,
            Destination = addresses.Destination,
            DestinationPort = x.Connection.LocalEndPoint.Port,
        };
        if (authorizer.Check(rules, listener, x.Connection, request, (x.RawTarget, x.Facts.RequestId)) is not { } denial) return CallResult.Ok;
        x.Facts.DeniedBy = denial.Policy;
        x.TellsDenial = listener.NamesDenyingPolicy;
        // The policy's name is for operators; a client learns it only where somebody said so.
        return new CallResult(Failure.AccessDenied, "access denied");
    }
}
