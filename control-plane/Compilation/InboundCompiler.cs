using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Compilation.Policies;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Compilation;

/// <summary>The listener before a port of a node's application, on a socket of the port's own. Pure.</summary>
internal static class InboundCompiler
{
    /// <summary>Compiles the listener of a port.</summary>
    public static Listener Compile(NodeDescription node, NodePort port, PortPolicies policies, TlsMode mode, string trustDomain)
    {
        var listener = ListenerParts.Empty(XdsNames.InboundListener(port.Port), port.Listen!, TrafficDirection.Inbound);
        SayPolicies(listener, policies);
        var chains = InboundChains.Compile(node, InboundPort.Of(port), policies, mode, trustDomain);
        listener.FilterChains.AddRange(chains.All);
        listener.DefaultFilterChain = chains.Rest;
        if (chains.LookAtTls) listener.ListenerFilters.Add(ListenerParts.TlsInspector());
        if (chains.LookAtHttp) listener.ListenerFilters.Add(ListenerParts.HttpInspector());
        if (listener.ListenerFilters.Count == 0) return listener;
        listener.ListenerFiltersTimeout = chains.Patience;
        listener.ContinueOnListenerFiltersTimeout = chains.Continue;
        return listener;
    }

    /// <summary>Says where the policies were written, and whether a client is told which of them refused it.</summary>
    public static void SayPolicies(Listener listener, PortPolicies policies)
    {
        if (policies.Locations is { } locations) listener.Metadata = new Metadata { FilterMetadata = { ["mesh.policies"] = locations } };
        if (policies.TellsClient) listener.Metadata.FilterMetadata["mesh.authz"] = new Struct { Fields = { ["denied_by_header"] = Value.ForBool(true) } };
    }
}
