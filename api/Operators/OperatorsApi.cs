namespace Mesh.Api.Operators;

/// <summary>
/// Paths of the operators' API, JSON over HTTP. Every request carries <c>Authorization: Bearer</c> with an operators' token
/// (<see cref="OperatorsFiles"/>): the role view may GET, the role admin everything. A failed request is answered with its HTTP
/// status and an <see cref="OperatorsError"/>.
/// </summary>
public static class OperatorsApi
{
    /// <summary>Where the control plane serves it unless told otherwise.</summary>
    public const string DefaultAddress = "http://127.0.0.1:15015";

    /// <summary>GET: <see cref="NodeList"/>.</summary>
    public const string Nodes = "/api/nodes";

    /// <summary>GET: <see cref="ServiceList"/>.</summary>
    public const string Services = "/api/services";

    /// <summary>GET with <c>?node=ID</c> (a node id, a workload id or a service): <see cref="ConfigDump"/>, or 404.</summary>
    public const string Config = "/api/config";

    /// <summary>GET with <c>?window=10s</c> (1s to 10m): <see cref="StatList"/>.</summary>
    public const string Stat = "/api/stat";

    /// <summary>GET with <c>?window=10s</c> (1s to 10m): <see cref="EdgeList"/>.</summary>
    public const string Edges = "/api/edges";

    /// <summary>POST a <see cref="TokenRequest"/>: <see cref="IssuedToken"/>.</summary>
    public const string Tokens = "/api/tokens";

    /// <summary>GET: <see cref="IdentityList"/>.</summary>
    public const string Identities = "/api/identities";

    /// <summary>GET, or POST a <see cref="RevocationRequest"/>, or DELETE with <c>?identity=ID</c>: <see cref="RevocationList"/> as it is then.</summary>
    public const string Revocations = "/api/revocations";

    /// <summary>GET: <see cref="AuthorityStatus"/>.</summary>
    public const string Authority = "/api/ca";

    /// <summary>POST a <see cref="RotationRequest"/>: starts (or goes on with) a rotation; <see cref="AuthorityStatus"/> as it is then.</summary>
    public const string Rotation = "/api/ca/rotate";

    /// <summary>POST an <see cref="AuthorizationQuestion"/>: <see cref="AuthorizationAnswer"/>. Changes nothing: the role view may.</summary>
    public const string AuthorizationCheck = "/api/authz/check";
}

/// <summary>Why a request of the operators' API failed, in words for the person at the terminal.</summary>
public sealed record OperatorsError(string Error);
