namespace Mesh.Sidecar.Config;

/// <summary>
/// Everything that can go wrong with a request, as a value. <see cref="Failures"/> says in ONE table what each becomes.
/// </summary>
public enum Failure
{
    /// <summary>Nothing went wrong.</summary>
    None,

    /// <summary>No virtual host or route matches (NR).</summary>
    NoRoute,

    /// <summary>The route names a cluster that does not exist (NC).</summary>
    NoCluster,

    /// <summary>The rule's backend is not valid, or the rule has none: Gateway API says 500 (NC).</summary>
    InvalidBackend,

    /// <summary>The cluster has no endpoint that may get traffic (UH).</summary>
    NoEndpoint,

    /// <summary>No connection could be made (UF).</summary>
    ConnectFailure,

    /// <summary>Connecting took too long (UF).</summary>
    ConnectTimeout,

    /// <summary>The endpoint did not prove to be whom we expect, or would not have us (UF).</summary>
    TlsFailure,

    /// <summary>The upstream closed or reset the connection before its response (UC).</summary>
    UpstreamClosed,

    /// <summary>The upstream reset the stream (UR).</summary>
    UpstreamReset,

    /// <summary>The upstream's answer is not HTTP or breaks its rules (UPE).</summary>
    UpstreamProtocolError,

    /// <summary>The rule's timeout of the whole request passed (UT).</summary>
    RequestTimeout,

    /// <summary>The rule's timeout of one try passed, and no retry was left (UT).</summary>
    TryTimeout,

    /// <summary>Retries were used up (URX).</summary>
    RetriesExhausted,

    /// <summary>The stream was silent for longer than the rule allows (SI).</summary>
    StreamIdle,

    /// <summary>The client went away (DC).</summary>
    ClientGone,

    /// <summary>The client's message breaks HTTP's rules (DPE).</summary>
    BadRequest,

    /// <summary>A policy refuses it (RBAC).</summary>
    AccessDenied,

    /// <summary>The request would come back to this sidecar (LR).</summary>
    Loop,

    /// <summary>A limit of this sidecar is reached (UO).</summary>
    Overload,

    /// <summary>The sidecar itself failed; a bug (LR).</summary>
    Internal,

    /// <summary>A captured connection to nobody the mesh knows, which it does not let out (UH).</summary>
    UnknownDestination,
}
