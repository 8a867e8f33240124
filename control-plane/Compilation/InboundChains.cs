using Envoy.Config.Listener.V3;
using Envoy.Config.Rbac.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Compilation.Policies;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using static Envoy.Extensions.Filters.Network.HttpConnectionManager.V3.HttpConnectionManager.Types;
using NetworkRbac = Envoy.Extensions.Filters.Network.Rbac.V3.RBAC;

namespace Mesh.ControlPlane.Compilation;

/// <summary>
/// The chains before a port of a node's application: for mutual TLS, for plaintext and for the application's own TLS, as mode and protocol say,
/// each with the port's authorization; and what a listener must look at to choose among them. Made once, on one thread; then only read.
/// </summary>
internal sealed class InboundChains
{
    private const string Tls = "tls";
    private const string Plain = "raw_buffer";

    // On a port declared as tcp a client may wait for the server to speak first; one that speaks TLS does so at once.
    private static readonly Duration TlsPatience = Duration.FromTimeSpan(TimeSpan.FromSeconds(1));

    private readonly NodeDescription node;
    private readonly InboundPort port;
    private readonly PortPolicies policies;
    private readonly string trustDomain;
    private readonly List<FilterChain> all = [];

    private InboundChains(NodeDescription node, InboundPort port, PortPolicies policies, string trustDomain) =>
        (this.node, this.port, this.policies, this.trustDomain) = (node, port, policies, trustDomain);

    /// <summary>The chains with a match of their own, or the one chain for everything.</summary>
    public IReadOnlyList<FilterChain> All => all;

    /// <summary>The chain for what no other matches; null when nothing else is let in.</summary>
    public FilterChain? Rest { get; private set; }

    /// <summary>True when they differ by TLS and plaintext.</summary>
    public bool LookAtTls { get; private set; }

    /// <summary>True when they differ by what is spoken in plaintext.</summary>
    public bool LookAtHttp { get; private set; }

    /// <summary>True when a connection that says nothing is served by what is known so far; false: it is left waiting.</summary>
    public bool Continue { get; private set; } = true;

    /// <summary>How long that is waited for.</summary>
    public Duration Patience { get; private set; } = ListenerParts.DetectionTimeout;

    private bool SpeaksHttp => port.Protocol != AppProtocol.Tcp;

    // A port with a rule about HTTP is HTTP or nothing: what cannot be read as HTTP cannot be judged by the rule.
    private bool PassesBytes => port.Protocol == AppProtocol.Tcp || (port.Protocol == AppProtocol.Unknown && !policies.HttpOnly);

    /// <summary>Compiles the chains. Without an identity the node cannot take mutual TLS: where that is a must, nothing is let through.</summary>
    public static InboundChains Compile(NodeDescription node, InboundPort port, PortPolicies policies, TlsMode mode, string trustDomain)
    {
        var chains = new InboundChains(node, port, policies, trustDomain);
        if (mode == TlsMode.Disable || (node.Identity is null && mode == TlsMode.Permissive)) chains.AddPlainOnly();
        else if (node.Identity is null) chains.AddNothing();
        else chains.AddTls(mode);
        return chains;
    }

    private void AddPlainOnly()
    {
        LookAtHttp = SpeaksHttp && PassesBytes;
        if (LookAtHttp)
        {
            all.Add(ListenerParts.Http("http", Http(CodecType.Auto), ListenerParts.Match("", ListenerParts.DetectedHttp)));
            Rest = Bytes("tcp", null);
        }
        else
        {
            all.Add(SpeaksHttp ? ListenerParts.Http("http", Http(CodecType.Auto)) : Bytes("tcp", null));
        }
    }

    private void AddNothing()
    {
        var chain = ListenerParts.Tcp("no-identity", port.StatPrefix, port.Cluster);
        var nobody = new NetworkRbac { Rules = new RBAC { Action = RBAC.Types.Action.Allow }, StatPrefix = "rbac_no_identity" };
        chain.Filters.Insert(0, new Filter { Name = "envoy.filters.network.rbac.no-identity", TypedConfig = Any.Pack(nobody) });
        all.Add(chain);
    }

    private void AddTls(TlsMode mode)
    {
        var permissive = mode == TlsMode.Permissive;
        LookAtTls = true;
        LookAtHttp = permissive && SpeaksHttp && PassesBytes;
        Continue = permissive;
        if (!SpeaksHttp) Patience = TlsPatience;

        AddMutual(any: !permissive || !PassesBytes);
        if (!permissive) return;
        if (SpeaksHttp)
        {
            var match = LookAtHttp ? ListenerParts.Match(Plain, ListenerParts.DetectedHttp) : ListenerParts.Match(Plain);
            all.Add(ListenerParts.Http("http", Http(CodecType.Auto), match));
        }

        if (!PassesBytes) return;
        all.Add(Bytes("tcp", ListenerParts.Match(Plain)));
        all.Add(Bytes("tls-opaque", ListenerParts.Match(Tls)));
    }

    // The client says by ALPN what it sends, so nothing has to be detected inside of TLS. Where the application's own TLS has no way through, all
    // TLS is the mesh's: also that of clients that know the usual names only (gRPC libraries), or none.
    private void AddMutual(bool any)
    {
        if (SpeaksHttp)
        {
            string[] http1 = any ? [TlsCompiler.Http1Alpn, TlsCompiler.PlainHttp1Alpn] : [TlsCompiler.Http1Alpn];
            string[] http2 = any ? [TlsCompiler.Http2Alpn, TlsCompiler.PlainHttp2Alpn] : [TlsCompiler.Http2Alpn];
            AddMutual(ListenerParts.Http("mtls-http1", Http(CodecType.Http1, mutual: true), ListenerParts.Match(Tls, http1)), http1);
            AddMutual(ListenerParts.Http("mtls-http2", Http(CodecType.Http2, mutual: true), ListenerParts.Match(Tls, http2)), http2);
            if (PassesBytes) AddMutual(Bytes("mtls-tcp", any ? ListenerParts.Match(Tls) : ListenerParts.Match(Tls, TlsCompiler.TcpAlpn)), TlsCompiler.TcpAlpn);
            else
            {
                // Who does not know that it is HTTP or nothing here says by ALPN that he sends bytes: HTTP among them is judged, the rest is told what it is not.
                AddMutual(ListenerParts.Http("mtls-http-bytes", Http(CodecType.Auto, mutual: true), ListenerParts.Match(Tls, TlsCompiler.TcpAlpn)), TlsCompiler.TcpAlpn);
                AddMutual(ListenerParts.Http("mtls-http", Http(CodecType.Auto, mutual: true), ListenerParts.Match(Tls)));
            }
        }
        else
        {
            // On a port that is tcp here a client may have it as http: its bytes pass, too.
            string[] names = [TlsCompiler.TcpAlpn, TlsCompiler.Http1Alpn, TlsCompiler.Http2Alpn];
            AddMutual(Bytes("mtls-tcp", any ? ListenerParts.Match(Tls) : ListenerParts.Match(Tls, names)), names);
        }
    }

    private void AddMutual(FilterChain chain, params ReadOnlySpan<string> alpn)
    {
        chain.TransportSocket = TlsCompiler.Downstream(trustDomain, alpn);
        all.Add(chain);
    }

    private FilterChain Bytes(string name, FilterChainMatch? match)
    {
        var chain = ListenerParts.Tcp(name, port.StatPrefix, port.Cluster, match);
        for (var i = 0; i < policies.Network.Length; i++) chain.Filters.Insert(i, policies.Network[i]);
        return chain;
    }

    private HttpConnectionManager Http(CodecType codec, bool mutual = false)
    {
        var table = CompiledService.AnyHost(port.Cluster, [RouteCompiler.Inbound(port.Cluster)]);
        var manager = ListenerParts.Http(port.StatPrefix, table, node.Service);
        manager.CodecType = codec;
        for (var i = 0; i < policies.Http.Length; i++) manager.HttpFilters.Insert(i, policies.Http[i]);
        if (mutual)
        {
            // What the client says of itself is dropped; what the handshake proved is set.
            manager.ForwardClientCertDetails = ForwardClientCertDetails.SanitizeSet;
            manager.SetCurrentClientCertDetails = new SetCurrentClientCertDetails { Uri = true };
        }

        if (policies.LooksAtPath && node.IsEnvoy)
        {
            // Our sidecar judges a canonical form of its own; Envoy judges what it forwards, so it has to make it canonical.
            manager.NormalizePath = true;
            manager.MergeSlashes = true;
            manager.PathWithEscapedSlashesAction = PathWithEscapedSlashesAction.RejectRequest;
        }

        return manager;
    }
}

/// <summary>What inbound chains lead to. Immutable.</summary>
/// <param name="Protocol">What is spoken there.</param>
/// <param name="Cluster">The application behind it.</param>
/// <param name="StatPrefix">What counters call it.</param>
internal sealed record InboundPort(AppProtocol Protocol, string Cluster, string StatPrefix)
{
    /// <summary>A port the node named.</summary>
    public static InboundPort Of(NodePort port) => new(port.Protocol, XdsNames.InboundCluster(port.Port), $"inbound_{port.Port}");
}
