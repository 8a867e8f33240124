using System.Collections.Immutable;
using System.Globalization;
using Envoy.Config.Core.V3;
using Envoy.Extensions.TransportSockets.RawBuffer.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Envoy.Type.Matcher.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>Mutual TLS in xDS: transport sockets of clusters and listeners, with the identities that are expected. Pure.</summary>
internal static class TlsCompiler
{
    /// <summary>ALPN of HTTP/1.1 between sidecars, as Istio has it.</summary>
    public const string Http1Alpn = "istio-http/1.1";

    /// <summary>ALPN of HTTP/2 between sidecars.</summary>
    public const string Http2Alpn = "istio-h2";

    /// <summary>ALPN of HTTP/1.1 as everybody else has it.</summary>
    public const string PlainHttp1Alpn = "http/1.1";

    /// <summary>ALPN of HTTP/2 as everybody else has it.</summary>
    public const string PlainHttp2Alpn = "h2";

    /// <summary>ALPN of anything else between sidecars.</summary>
    public const string TcpAlpn = "istio";

    /// <summary>Key of endpoint metadata that chooses among the transport sockets of a cluster.</summary>
    public const string EndpointMatchKey = "envoy.transport_socket_match";

    /// <summary>Field of that metadata that says whether an endpoint takes mutual TLS.</summary>
    public const string ModeKey = "tlsMode";

    /// <summary>Its value for endpoints that do.</summary>
    public const string Mutual = "istio";

    /// <summary>SDS name of the roots. The node's own certificate is <c>default</c>, and comes from its own agent, never from here.</summary>
    public const string RootsName = "ROOTCA";

    private const string OwnCertificateName = "default";

    // A static cluster of the bootstrap: the agent's unix socket.
    private const string AgentCluster = "sds-grpc";

    private const string TlsSocket = "envoy.transport_sockets.tls";

    /// <summary>How a client calls the endpoints of a service port: under mutual TLS those that take it, plain the others.</summary>
    public static IEnumerable<Envoy.Config.Cluster.V3.Cluster.Types.TransportSocketMatch> Upstream(
        ServiceName service, ResolvedPort port, ImmutableArray<string> identities) =>
    [
        new()
        {
            Name = "tlsMode-" + Mutual,
            Match = new Struct { Fields = { [ModeKey] = Value.ForString(Mutual) } },
            TransportSocket = Socket(new UpstreamTlsContext
            {
                Sni = string.Create(CultureInfo.InvariantCulture, $"outbound_.{port.Port}_._.{service.Host}"),
                CommonTlsContext = Context(Expect(identities), Alpn(port.Protocol)),
            }),
        },
        new()
        {
            Name = "tlsMode-disabled",
            Match = new Struct(),
            TransportSocket = new TransportSocket { Name = "envoy.transport_sockets.raw_buffer", TypedConfig = Any.Pack(new RawBuffer()) },
        },
    ];

    /// <summary>How a listener takes mutual TLS: from any identity of the trust domain; what each may do is the policies' to say.</summary>
    public static TransportSocket Downstream(string trustDomain, params ReadOnlySpan<string> alpn)
    {
        var anybody = new SubjectAltNameMatcher
        {
            SanType = SubjectAltNameMatcher.Types.SanType.Uri,
            Matcher = new StringMatcher { Prefix = IdentityName.PrefixOf(trustDomain) },
        };
        return Socket(new DownstreamTlsContext
        {
            RequireClientCertificate = true,
            CommonTlsContext = Context([anybody], alpn),
        });
    }

    /// <summary>The roots, as the one secret that is served.</summary>
    public static Secret Roots(string pem) => new()
    {
        Name = RootsName,
        ValidationContext = new CertificateValidationContext { TrustedCa = new DataSource { InlineString = pem } },
    };

    /// <summary>Metadata of an endpoint that takes mutual TLS.</summary>
    public static Struct EndpointMatch() => new() { Fields = { [ModeKey] = Value.ForString(Mutual) } };

    private static string Alpn(AppProtocol protocol) => protocol switch
    {
        AppProtocol.Http => Http1Alpn,
        AppProtocol.Http2 or AppProtocol.Grpc => Http2Alpn,
        _ => TcpAlpn,
    };

    private static IEnumerable<SubjectAltNameMatcher> Expect(ImmutableArray<string> identities) => identities.Select(identity => new SubjectAltNameMatcher
    {
        SanType = SubjectAltNameMatcher.Types.SanType.Uri,
        Matcher = new StringMatcher { Exact = identity },
    });

    private static CommonTlsContext Context(IEnumerable<SubjectAltNameMatcher> peers, params ReadOnlySpan<string> alpn)
    {
        var context = new CommonTlsContext
        {
            TlsParams = new TlsParameters
            {
                TlsMinimumProtocolVersion = TlsParameters.Types.TlsProtocol.Tlsv13,
                TlsMaximumProtocolVersion = TlsParameters.Types.TlsProtocol.Tlsv13,
            },
            TlsCertificateSdsSecretConfigs = { new SdsSecretConfig { Name = OwnCertificateName, SdsConfig = Agent() } },
            CombinedValidationContext = new CommonTlsContext.Types.CombinedCertificateValidationContext
            {
                DefaultValidationContext = new CertificateValidationContext { MatchTypedSubjectAltNames = { peers } },
                ValidationContextSdsSecretConfig = new SdsSecretConfig { Name = RootsName, SdsConfig = XdsSource.Ads() },
            },
        };
        foreach (var protocol in alpn) context.AlpnProtocols.Add(protocol);
        return context;
    }

    private static ConfigSource Agent() => new()
    {
        ApiConfigSource = new ApiConfigSource
        {
            ApiType = ApiConfigSource.Types.ApiType.Grpc,
            TransportApiVersion = ApiVersion.V3,
            GrpcServices = { new Envoy.Config.Core.V3.GrpcService { EnvoyGrpc = new Envoy.Config.Core.V3.GrpcService.Types.EnvoyGrpc { ClusterName = AgentCluster } } },
        },
        ResourceApiVersion = ApiVersion.V3,
    };

    private static TransportSocket Socket(Google.Protobuf.IMessage context) => new() { Name = TlsSocket, TypedConfig = Any.Pack(context) };
}
