namespace Mesh.Api.Rbac;

/// <summary>What an engine says of a request.</summary>
/// <param name="Allowed">False refuses it. Always true of an engine that only logs.</param>
/// <param name="Policy">Key of the policy that decided: the first in ordinal order that matches; null when none does.</param>
/// <param name="Ambiguous">
/// True when an ALLOW policy would have matched one reading of the request and not another (a repeated header field, path parameters).
/// </param>
public readonly record struct RbacVerdict(bool Allowed, string? Policy, bool Ambiguous = false)
{
    /// <summary>True when a policy matched: what a LOG engine is asked for.</summary>
    public bool Matched => Policy is not null;
}

/// <summary>What a matching policy means (xDS <c>RBAC.Action</c>).</summary>
public enum RbacAction
{
    /// <summary>Lets through what matches and nothing else.</summary>
    Allow,

    /// <summary>Refuses what matches and nothing else.</summary>
    Deny,

    /// <summary>Marks what matches for the audit log; refuses nothing.</summary>
    Log,
}

/// <summary>What an engine will be asked about.</summary>
public enum RbacLayer
{
    /// <summary>Requests.</summary>
    Http,

    /// <summary>Connections: rules about methods, paths, hosts and headers are refused, since nothing could be compared with them.</summary>
    Network,
}
