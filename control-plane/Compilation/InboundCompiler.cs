using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Rbac.V3;
using Envoy.Extensions.Filters.Listener.TlsInspector.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Compilation.Policies;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using static Envoy.Extensions.Filters.Network.HttpConnectionManager.V3.HttpConnectionManager.Types;
using NetworkRbac = Envoy.Extensions.Filters.Network.Rbac.V3.RBAC;

namespace Mesh.ControlPlane.Compilation;

/// <summary>
/// The listener before a port of a node's application: chains for mutual TLS, for plaintext and for the application's own TLS, as mode and
/// protocol say, each with the port's authorization. Pure; one use, one thread.
/// </summary>
internal sealed class InboundCompiler
{
    private const string Tls = "tls";
    private const string Plain = "raw_buffer";

    // On a port declared as tcp a client may wait for the server to speak first; one that speaks TLS does so at once.
    private static readonly Duration TlsPatience = Duration.FromTimeSpan(TimeSpan.FromSeconds(1));

    private readonly NodeDescription node;
    private readonly NodePort port;
    private readonly PortPolicies policies;
    private readonly string trustDomain;
    private readonly Listener listener;

    private InboundCompiler(NodeDescription node, NodePort port, PortPolicies policies, string trustDomain)
    {
        (this.node, this.port, this.policies, this.trustDomain) = (node, port, policies, trustDomain);
        listener = ListenerParts.Empty(XdsNames.InboundListener(port.Port), port.Listen, TrafficDirection.Inbound);
        if (policies.Locations is { } locations) listener.Metadata = new Metadata { FilterMetadata = { ["mesh.policies"] = locations } };
        if (policies.TellsClient) listener.Metadata.FilterMetadata["mesh.authz"] = new Struct { Fields = { ["denied_by_header"] = Value.ForBool(true) } };
    }

    private string Cluster => XdsNames.InboundCluster(port.Port);

    private string StatPrefix => $"inbound_{port.Port}";

    private bool SpeaksHttp => port.Protocol != AppProtocol.Tcp;

    // A port with a rule about HTTP is HTTP or nothing: what cannot be read as HTTP cannot be judged by the rule.
    private bool PassesBytes => port.Protocol == AppProtocol.Tcp || (port.Protocol == AppProtocol.Unknown && !policies.HttpOnly);

    /// <summary>Compiles the listener. Without an identity the node cannot take mutual TLS: where that is a must, nothing is let through.</summary>
    public static Listener Compile(NodeDescription node, NodePort port, PortPolicies policies, TlsMode mode, string trustDomain)
    {
        var compiler = new InboundCompiler(node, port, policies, trustDomain);
        if (mode == TlsMode.Disable || (node.Identity is null && mode == TlsMode.Permissive)) compiler.AddPlainOnly();
        else if (node.Identity is null) compiler.AddNothing();
        else compiler.AddTls(mode);
        return compiler.listener;
    }

    private void AddPlainOnly()
    {
        if (SpeaksHttp && PassesBytes)
        {
            listener.FilterChains.Add(ListenerParts.Http("http", Http(CodecType.Auto), ListenerParts.Match("", ListenerParts.DetectedHttp)));
            listener.DefaultFilterChain = Bytes("tcp", null);
            ListenerParts.Inspect(listener, ListenerParts.DetectionTimeout, ListenerParts.HttpInspector());
        }
        else
        {
            listener.FilterChains.Add(SpeaksHttp ? ListenerParts.Http("http", Http(CodecType.Auto)) : Bytes("tcp", null));
        }
    }

    private void AddNothing()
    {
        var chain = ListenerParts.Tcp("no-identity", StatPrefix, Cluster);
        var nobody = new NetworkRbac { Rules = new RBAC { Action = RBAC.Types.Action.Allow }, StatPrefix = "rbac_no_identity" };
        chain.Filters.Insert(0, new Filter { Name = "envoy.filters.network.rbac.no-identity", TypedConfig = Any.Pack(nobody) });
        listener.FilterChains.Add(chain);
    }

    private void AddTls(TlsMode mode)
    {
        var inspector = new ListenerFilter { Name = "envoy.filters.listener.tls_inspector", TypedConfig = Any.Pack(new TlsInspector()) };
        var permissive = mode == TlsMode.Permissive;
        var detects = permissive && SpeaksHttp && PassesBytes;
        var patience = SpeaksHttp ? ListenerParts.DetectionTimeout : TlsPatience;
        ListenerParts.Inspect(listener, patience, detects ? [inspector, ListenerParts.HttpInspector()] : [inspector]);
        listener.ContinueOnListenerFiltersTimeout = permissive;

        AddMutual(all: !permissive || !PassesBytes);
        if (!permissive) return;
        if (SpeaksHttp)
        {
            var match = detects ? ListenerParts.Match(Plain, ListenerParts.DetectedHttp) : ListenerParts.Match(Plain);
            listener.FilterChains.Add(ListenerParts.Http("http", Http(CodecType.Auto), match));
        }

        if (!PassesBytes) return;
        listener.FilterChains.Add(Bytes("tcp", ListenerParts.Match(Plain)));
        listener.FilterChains.Add(Bytes("tls-opaque", ListenerParts.Match(Tls)));
    }

    // The client says by ALPN what it sends, so nothing has to be detected inside of TLS. Where the application's own TLS has no way through, all
    // TLS is the mesh's: also that of clients that know the usual names only (gRPC libraries), or none.
    private void AddMutual(bool all)
    {
        if (SpeaksHttp)
        {
            string[] http1 = all ? [TlsCompiler.Http1Alpn, TlsCompiler.PlainHttp1Alpn] : [TlsCompiler.Http1Alpn];
            string[] http2 = all ? [TlsCompiler.Http2Alpn, TlsCompiler.PlainHttp2Alpn] : [TlsCompiler.Http2Alpn];
            AddMutual(ListenerParts.Http("mtls-http1", Http(CodecType.Http1, mutual: true), ListenerParts.Match(Tls, http1)), http1);
            AddMutual(ListenerParts.Http("mtls-http2", Http(CodecType.Http2, mutual: true), ListenerParts.Match(Tls, http2)), http2);
            if (PassesBytes) AddMutual(Bytes("mtls-tcp", all ? ListenerParts.Match(Tls) : ListenerParts.Match(Tls, TlsCompiler.TcpAlpn)), TlsCompiler.TcpAlpn);
            else AddMutual(ListenerParts.Http("mtls-http", Http(CodecType.Auto, mutual: true), ListenerParts.Match(Tls)));
        }
        else
        {
            // On a port that is tcp here a client may have it as http: its bytes pass, too.
            string[] names = [TlsCompiler.TcpAlpn, TlsCompiler.Http1Alpn, TlsCompiler.Http2Alpn];
            AddMutual(Bytes("mtls-tcp", all ? ListenerParts.Match(Tls) : ListenerParts.Match(Tls, names)), names);
        }
    }

    private void AddMutual(FilterChain chain, params ReadOnlySpan<string> alpn)
    {
        chain.TransportSocket = TlsCompiler.Downstream(trustDomain, alpn);
        listener.FilterChains.Add(chain);
    }

    private FilterChain Bytes(string name, FilterChainMatch? match)
    {
        var chain = ListenerParts.Tcp(name, StatPrefix, Cluster, match);
        for (var i = 0; i < policies.Network.Length; i++) chain.Filters.Insert(i, policies.Network[i]);
        return chain;
    }

    private HttpConnectionManager Http(CodecType codec, bool mutual = false)
    {
        var table = CompiledService.AnyHost(Cluster, [RouteCompiler.Inbound(Cluster)]);
        var manager = ListenerParts.Http(StatPrefix, table, node.Service);
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
