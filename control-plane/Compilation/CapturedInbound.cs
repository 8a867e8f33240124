using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Listener.OriginalSrc.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Compilation.Policies;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>
/// The listeners that take all inbound traffic of a captured node, one for each family of addresses: chains by the port a connection was sent to,
/// and chains without port for every other one. There is no default chain on purpose: a connection whose port has chains, of which none fits
/// (plaintext where mutual TLS is a must), would end in it. Pure; one use, one thread.
/// </summary>
internal sealed class CapturedInbound
{
    /// <summary>Marks what the sidecar sends itself, so that rules let it pass.</summary>
    private const uint Mark = 1337;

    private readonly NodeDescription node;
    private readonly CompiledPolicies policies;
    private readonly string trustDomain;
    private readonly Listener listener = new() { TrafficDirection = TrafficDirection.Inbound };
    private readonly List<int> withoutTls = [];
    private readonly List<int> withoutDetection = [];
    private bool lookAtTls;
    private bool lookAtHttp;

    private CapturedInbound(NodeDescription node, CompiledPolicies policies, string trustDomain) =>
        (this.node, this.policies, this.trustDomain) = (node, policies, trustDomain);

    /// <summary>The listeners of a node, IPv4 before IPv6.</summary>
    public static IEnumerable<Listener> Compile(NodeDescription node, CompiledPolicies policies, string trustDomain)
    {
        var model = new CapturedInbound(node, policies, trustDomain).Compile();
        foreach (var address in node.Capture!.Inbound)
        {
            var bound = model.Clone();
            bound.Name = XdsNames.CapturedInbound(address);
            bound.Address = EndpointCompiler.SocketAddress(address.Address, address.Port);
            yield return bound;
        }
    }

    private Listener Compile()
    {
        var registered = node.Ports.DistinctBy(port => port.Port).ToArray();
        var numbers = registered.Select(port => port.Port).Concat(node.Capture!.Inbound.Select(address => address.Port)).ToHashSet();
        foreach (var port in registered) Add(port.Port, InboundPort.Of(port));
        // Ports that only a policy names: what it says of them is decided here, so they cannot be among the others.
        foreach (var number in policies.PortsNamed(node.Traits)) if (numbers.Add(number)) Add(number, Unregistered(number));
        Add(0, Unregistered(0));
        foreach (var number in node.Capture.Inbound.Select(address => address.Port).Distinct()) listener.FilterChains.Add(Itself(number));
        InboundCompiler.SayPolicies(listener, policies.Of(node.Traits, 0, node.Emitter));
        AddListenerFilters();
        return listener;
    }

    /// <summary>Adds the chains of a port; 0 stands for all that have none.</summary>
    private void Add(int number, InboundPort port)
    {
        var chains = InboundChains.Compile(node, port, policies.Of(node.Traits, number, node.Emitter), policies.ModeOf(node.Traits, number), trustDomain);
        var prefix = number == 0 ? "other" : $"{number}";
        foreach (var chain in chains.Rest is { } rest ? chains.All.Append(rest) : chains.All)
        {
            chain.Name = $"{prefix}|{chain.Name}";
            if (number != 0) (chain.FilterChainMatch ??= new FilterChainMatch()).DestinationPort = (uint)number;
            listener.FilterChains.Add(chain);
        }

        lookAtTls |= chains.LookAtTls;
        lookAtHttp |= chains.LookAtHttp;
        if (number != 0 && !chains.LookAtTls) withoutTls.Add(number);
        if (number != 0 && !chains.LookAtHttp) withoutDetection.Add(number);
    }

    // What is not declared passes as bytes, unless a rule about HTTP has to be asked: then it is HTTP or nothing.
    private InboundPort Unregistered(int number) => new(
        policies.Of(node.Traits, number, node.Emitter).HttpOnly ? AppProtocol.Http : AppProtocol.Tcp, XdsNames.InboundPassthrough, number == 0 ? "inbound_other" : $"inbound_{number}");

    /// <summary>Who dials the sidecar's own port would be forwarded to it, again and again.</summary>
    private static FilterChain Itself(int port)
    {
        var chain = ListenerParts.Tcp("itself", "inbound_itself", XdsNames.BlackHole, new FilterChainMatch { DestinationPort = (uint)port });
        return chain;
    }

    private void AddListenerFilters()
    {
        listener.ListenerFilters.Add(ListenerParts.OriginalDestination());
        if (node.Capture!.Transparent)
        {
            listener.Transparent = true;
            if (node.IsEnvoy) listener.ListenerFilters.Add(new ListenerFilter { Name = "envoy.filters.listener.original_src", TypedConfig = Any.Pack(new OriginalSrc { Mark = Mark }) });
        }

        if (lookAtTls) listener.ListenerFilters.Add(Except(withoutTls, ListenerParts.TlsInspector()));
        if (lookAtHttp) listener.ListenerFilters.Add(Except(withoutDetection, ListenerParts.HttpInspector()));
        listener.ListenerFiltersTimeout = ListenerParts.DetectionTimeout;
        // Where mutual TLS is a must there is no chain for what said nothing.
        listener.ContinueOnListenerFiltersTimeout = true;
    }

    // Our sidecar sees by the chains of a port what there is to look at; Envoy has to be told.
    private ListenerFilter Except(List<int> ports, ListenerFilter filter)
    {
        if (node.IsEnvoy && ports.Count > 0) filter.FilterDisabled = ListenerParts.AnyPortOf(ports);
        return filter;
    }
}
