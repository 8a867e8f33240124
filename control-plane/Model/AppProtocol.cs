namespace Mesh.ControlPlane.Model;

/// <summary>What is spoken on a port. <see cref="Unknown"/> means: detect it on each connection.</summary>
public enum AppProtocol
{
    /// <summary>Not declared; detected by the first bytes.</summary>
    Unknown,

    /// <summary>HTTP/1.0, HTTP/1.1, or HTTP/2 by prior knowledge where the client speaks it.</summary>
    Http,

    /// <summary>HTTP/2 without TLS (<c>kubernetes.io/h2c</c>, <c>http2</c>).</summary>
    Http2,

    /// <summary>gRPC, that is HTTP/2.</summary>
    Grpc,

    /// <summary>Opaque bytes.</summary>
    Tcp,
}
