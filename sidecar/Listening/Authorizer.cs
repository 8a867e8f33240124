using Mesh.Api.Rbac;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Asks the policies of a chain about a request or a connection, in their fixed order; counts and logs what they say. What is refused is
/// refused by the first DENY policy that matches, else because no ALLOW policy does. AUDIT policies and those in dry run are asked of every
/// request, refused or not, and refuse none. Thread safe; allocates only when there is something to tell.
/// </summary>
internal sealed class Authorizer(AuthorizationLog log)
{
    private const int LongestTarget = 512;

    /// <summary>Whether a TCP connection would be let through. Nothing is counted or logged: it is not served yet.</summary>
    public static bool WouldLet(Authorization rules, ConnectionFacts connection)
    {
        var request = Ask(connection);
        foreach (var filter in rules.Filters)
        {
            if (filter.Rules is { Action: not RbacAction.Log } enforced && !enforced.Evaluate(request).Allowed) return false;
        }

        return true;
    }

    /// <summary>Asks about a TCP connection, once, before anything is sent to the application; null lets it through.</summary>
    public Denial? Check(Authorization rules, ConnectionFacts connection) => Check(rules, connection.Listener, connection, Ask(connection), ("", ""));

    /// <summary>Asks about a request; null lets it through.</summary>
    public Denial? Check(
        Authorization rules, Listener listener, ConnectionFacts connection, scoped in RbacRequest request, (string Target, string RequestId) seen)
    {
        Denial? denial = null;
        foreach (var filter in rules.Filters)
        {
            if (filter.Shadow is { Action: not RbacAction.Log } shadow && shadow.Evaluate(request) is { Allowed: false } tried)
                log.Add(Event(AuthorizationOutcome.WouldDeny, tried, filter, listener, connection, request, seen));

            if (filter.Rules is not { } enforced) continue;
            if (enforced.Action == RbacAction.Log)
            {
                if (enforced.Evaluate(request) is { Matched: true } marked)
                    log.Add(Event(AuthorizationOutcome.Audited, marked, filter, listener, connection, request, seen) with { Refused = denial is not null });
            }
            else if (denial is null && enforced.Evaluate(request) is { Allowed: false } verdict)
            {
                denial = new Denial(verdict.Policy ?? "none");
                log.Add(Event(AuthorizationOutcome.Denied, verdict, filter, listener, connection, request, seen));
            }
        }

        return denial;
    }

    private static RbacRequest Ask(ConnectionFacts connection) => new()
    {
        Method = "",
        Authority = "",
        Principal = connection.Peer?.Uri,
        Source = connection.Addresses.Source,
        Destination = connection.Addresses.Destination,
        DestinationPort = connection.LocalEndPoint.Port,
    };

    private static AuthorizationEvent Event(
        AuthorizationOutcome outcome, RbacVerdict verdict, AuthorizationFilter filter, Listener listener, ConnectionFacts connection,
        scoped in RbacRequest request, (string Target, string RequestId) seen) =>
        new()
        {
            Outcome = outcome,
            Policy = verdict.Policy ?? "",
            Source = verdict.Policy is { } key ? listener.PolicySources.GetValueOrDefault(key, "") : "",
            Filter = filter.Name,
            Listener = listener.Name,
            Ambiguous = verdict.Ambiguous,
            Principal = request.Principal ?? "",
            Remote = connection.Remote,
            Method = request.Method,
            Target = seen.Target.Length <= LongestTarget ? seen.Target : seen.Target[..LongestTarget],
            Authority = request.Authority,
            RequestId = seen.RequestId,
        };
}

/// <summary>A refusal.</summary>
/// <param name="Policy">Key of the policy that decided; <c>none</c> when it was that no ALLOW policy matches, as Envoy writes it.</param>
internal readonly record struct Denial(string Policy);
