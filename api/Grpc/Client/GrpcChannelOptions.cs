using System.Net;
using System.Net.Security;

namespace Mesh.Api.Grpc;

/// <summary>How a <see cref="GrpcChannel"/> connects. Immutable.</summary>
public sealed record GrpcChannelOptions
{
    /// <summary>How long a connection attempt may take.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>While calls run: how long a silent peer is waited for before a PING asks whether it lives.</summary>
    public TimeSpan KeepAlivePingDelay { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>How long the answer to that PING may take before the connection counts as dead.</summary>
    public TimeSpan KeepAlivePingTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The largest message taken from the server, in bytes.</summary>
    public int MaxReceiveMessageSize { get; init; } = MessageFraming.DefaultMaxMessageSize;

    /// <summary>
    /// TLS for addresses that begin with <c>https://</c>: asked anew for each connection, so that a renewed certificate is used by the
    /// next one. Null: the system's roots and no certificate of our own.
    /// </summary>
    public Func<SslClientAuthenticationOptions>? Tls { get; init; }

    /// <summary>The address of this machine that connections come from; null leaves it to the routes. Only for TLS.</summary>
    public IPAddress? LocalAddress { get; init; }

    /// <summary>
    /// The address of this machine that the server should see, where it can: of the server's addresses those of its family are tried first, and one on
    /// loopback is dialled from it. Null leaves both to the resolver and the routes. Only for TLS.
    /// </summary>
    public IPAddress? OwnAddress { get; init; }

    /// <summary>The clock deadlines run on.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
