using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Mesh.Api.Grpc;

/// <summary>Kestrel's settings for ports that serve long gRPC streams.</summary>
public static class GrpcKestrel
{
    /// <summary>Lets streams be long and silent, and notices clients that are gone without a word.</summary>
    public static void Configure(KestrelServerOptions options)
    {
        options.AddServerHeader = false;
        // Envoy's gRPC client says http also inside of TLS.
        options.AllowAlternateSchemes = true;
        var limits = options.Limits;
        limits.MinRequestBodyDataRate = null;
        limits.MinResponseDataRate = null;
        limits.MaxRequestBodySize = null;
        limits.Http2.KeepAlivePingDelay = TimeSpan.FromSeconds(20);
        limits.Http2.KeepAlivePingTimeout = TimeSpan.FromSeconds(10);
    }
}
