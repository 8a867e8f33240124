namespace Mesh.Api.Operators;

/// <summary>
/// Paths of the operators' API, JSON over HTTP on the control plane's loopback port. A failed request is answered with
/// its HTTP status and an <see cref="OperatorsError"/>.
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
}

/// <summary>Why a request of the operators' API failed, in words for the person at the terminal.</summary>
public sealed record OperatorsError(string Error);
