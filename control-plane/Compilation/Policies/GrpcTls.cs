using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Envoy.Type.Matcher.V3;
using Google.Protobuf.WellKnownTypes;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>
/// Mutual TLS for gRPC libraries: certificates come from files that their bootstrap names, under the provider instance <c>default</c>.
/// They refuse tls_params, SDS and inline certificates. Pure.
/// </summary>
internal static class GrpcTls
{
    /// <summary>The provider instance of the bootstrap.</summary>
    public const string Provider = "default";

    /// <summary>The transport socket of a cluster; it expects one of the identities.</summary>
    public static TransportSocket Upstream(ImmutableArray<string> identities)
    {
        var roots = Roots();
        // The field is deprecated for Envoy and the only one gRPC reads.
        roots.MatchSubjectAltNames.AddRange(identities.Select(identity => new StringMatcher { Exact = identity }));
        return Socket(new UpstreamTlsContext { CommonTlsContext = Context(roots) });
    }

    /// <summary>The transport socket of a server. gRPC refuses names to expect here: the policies say who may call.</summary>
    public static TransportSocket Downstream() => Socket(new DownstreamTlsContext { RequireClientCertificate = true, CommonTlsContext = Context(Roots()) });

    private static CertificateValidationContext Roots() => new()
    {
        CaCertificateProviderInstance = new CertificateProviderPluginInstance { InstanceName = Provider },
    };

    private static CommonTlsContext Context(CertificateValidationContext roots) => new()
    {
        TlsCertificateProviderInstance = new CertificateProviderPluginInstance { InstanceName = Provider },
        ValidationContext = roots,
    };

    private static TransportSocket Socket(Google.Protobuf.IMessage context) => new() { Name = "envoy.transport_sockets.tls", TypedConfig = Any.Pack(context) };
}
