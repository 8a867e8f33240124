using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>
/// The listener that takes all outbound traffic of a family of addresses, with what it was put together from: chains by service address and port,
/// the chain for explicit use of the socket itself, and the default one for destinations that nobody knows. Immutable; the same for all nodes
/// that listen on one address and see the same services and chains.
/// </summary>
/// <param name="Terms">What it was made for.</param>
/// <param name="Parts">The chains of the services, first come, first kept.</param>
/// <param name="Listener">The packed listener.</param>
/// <param name="Notices">Addresses that two services claim.</param>
internal sealed record CapturedOutbound(OutboundTerms Terms, ImmutableArray<ServiceChains> Parts, Resource Listener, ImmutableArray<Notice> Notices)
{
    /// <summary>Puts chains together; the same terms and parts as in <paramref name="previous"/> give that one.</summary>
    public static CapturedOutbound From(OutboundTerms terms, ImmutableArray<ServiceChains> parts, CapturedOutbound? previous)
    {
        if (previous is not null && previous.Terms == terms && previous.Parts.AsSpan().SequenceEqual(parts.AsSpan(), ByReference)) return previous;
        var notices = new Notices();
        var chosen = Choose(terms, parts, notices);
        var listener = ListenerParts.Empty(XdsNames.CapturedOutbound(terms.Address), terms.Address, TrafficDirection.Outbound);
        listener.FilterChains.Add(Explicit(terms.Address));
        foreach (var port in chosen) listener.FilterChains.AddRange(port.Chains);
        listener.DefaultFilterChain = ListenerParts.Tcp("unknown", XdsNames.Outbound, terms.RegistryOnly ? XdsNames.BlackHole : XdsNames.Passthrough);
        listener.ListenerFilters.Add(ListenerParts.OriginalDestination());
        if (chosen.Exists(port => port.Detects)) ListenerParts.Inspect(listener, ListenerParts.DetectionTimeout, HttpInspector(terms, chosen));
        return new CapturedOutbound(terms, parts, Resource.Of(listener.Name, listener), notices.ToImmutable());
    }

    private static IEqualityComparer<ServiceChains> ByReference => ReferenceEqualityComparer.Instance;

    // The same chains twice make clients refuse the whole listener: the first service keeps the address and port.
    private static List<AddressedPort> Choose(OutboundTerms terms, ImmutableArray<ServiceChains> parts, Notices notices)
    {
        var family = terms.Address.IsV6 ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork;
        var taken = new Dictionary<(IPAddress, int), Service>();
        var chosen = new List<AddressedPort>();
        foreach (var port in parts.SelectMany(part => part.Ports).Where(port => port.Address.AddressFamily == family))
        {
            if (taken.TryAdd((port.Address, port.Port), port.Service)) chosen.Add(port);
            else notices.Add(port.Service.Source, $"{port.Service.Name} is not reached at {port.Address} port {(port.Port == 0 ? "any" : port.Port)}: {taken[(port.Address, port.Port)].Name} has that address and port");
        }

        return chosen;
    }

    // Who sends requests to the socket itself uses it as a proxy, as where nothing is captured.
    private static FilterChain Explicit(HostPort address)
    {
        var match = new FilterChainMatch { PrefixRanges = { ServiceChains.OneAddress(IPAddress.Parse(address.Address)) }, DestinationPort = (uint)address.Port };
        return ListenerParts.Http("explicit", ListenerParts.Http(XdsNames.Outbound, XdsNames.Outbound, ""), match);
    }

    // Our sidecar sees by the chains of a destination what there is to look at. Envoy would keep every connection waiting whose server speaks first.
    private static ListenerFilter HttpInspector(OutboundTerms terms, List<AddressedPort> chosen)
    {
        var filter = ListenerParts.HttpInspector();
        var detecting = chosen.Where(port => port.Detects).Select(port => port.Port).Distinct().Order().ToArray();
        if (terms.IsEnvoy && !detecting.Contains(0)) filter.FilterDisabled = new ListenerFilterChainMatchPredicate { NotMatch = ListenerParts.AnyPortOf(detecting) };
        return filter;
    }
}

/// <summary>What a captured outbound listener depends on, beside the services. Immutable.</summary>
/// <param name="Address">The socket.</param>
/// <param name="RegistryOnly">True when unknown destinations are refused.</param>
/// <param name="IsEnvoy">True for Envoy itself.</param>
internal sealed record OutboundTerms(HostPort Address, bool RegistryOnly, bool IsEnvoy);
