using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>
/// The filter chains by which captured outbound listeners know a service: by its addresses and ports. They are the same for all clients but
/// those of namespaces with routes of their own, since a chain names its routes and does not hold them. Immutable; do not change the messages.
/// </summary>
/// <param name="Ports">One for each address and port.</param>
internal sealed record ServiceChains(ImmutableArray<AddressedPort> Ports)
{
    private const int HttpPort = 80;

    /// <summary>Compiles the chains of a service that has these addresses, for clients of a namespace.</summary>
    public static ServiceChains Compile(Service service, ImmutableArray<string> addresses, string client)
    {
        var ports = ImmutableArray.CreateBuilder<AddressedPort>();
        foreach (var text in addresses)
        {
            var address = IPAddress.Parse(text);
            foreach (var port in service.Ports) ports.Add(new AddressedPort(service, address, port.Port, [.. Chains(service, port, address, port.Port, client)]));
            // A registry knows one port, and clients call it by whatever number they were told, or by none. A real Envoy looks at the port first: a
            // number that other services use means none of this one's chains but those with it.
            if (service is not { AnyPort: true, Ports: [var only] }) continue;
            if (only.Port != HttpPort && only.Protocol != AppProtocol.Tcp) ports.Add(new AddressedPort(service, address, HttpPort, [.. Chains(service, only, address, HttpPort, client)]));
            ports.Add(new AddressedPort(service, address, 0, [.. Chains(service, only, address, 0, client)]));
        }

        return new ServiceChains(ports.ToImmutable());
    }

    private static IEnumerable<FilterChain> Chains(Service service, ResolvedPort port, IPAddress address, int number, string client)
    {
        var protocol = RouteCompiler.Spoken(service, port, client);
        var name = $"{address}|{(number == 0 ? "any" : number)}";
        var cluster = XdsNames.Cluster(service.Name, port.Port);
        if (protocol != AppProtocol.Tcp)
        {
            var match = Match(address, number);
            if (protocol == AppProtocol.Unknown) match.ApplicationProtocols.AddRange(ListenerParts.DetectedHttp.ToArray());
            var http = ListenerParts.Http(XdsNames.Outbound, XdsNames.UpstreamRoutes(service.Name, port.Port), service.Name.Host);
            yield return ListenerParts.Http($"{name}|http", http, match);
        }

        if (protocol is AppProtocol.Tcp or AppProtocol.Unknown)
            yield return ListenerParts.Tcp($"{name}|tcp", XdsNames.Outbound, cluster, Match(address, number));
    }

    private static FilterChainMatch Match(IPAddress address, int port)
    {
        var match = new FilterChainMatch { PrefixRanges = { OneAddress(address) } };
        if (port != 0) match.DestinationPort = (uint)port;
        return match;
    }

    /// <summary>The range that is one address.</summary>
    public static CidrRange OneAddress(IPAddress address) =>
        new() { AddressPrefix = address.ToString(), PrefixLen = address.AddressFamily == AddressFamily.InterNetwork ? 32u : 128u };
}

/// <summary>The chains of an address and port of a service. Immutable.</summary>
/// <param name="Service">The service.</param>
/// <param name="Address">One of its addresses.</param>
/// <param name="Port">The port clients name; 0 for any.</param>
/// <param name="Chains">One chain, or two where the protocol is detected.</param>
internal sealed record AddressedPort(Service Service, IPAddress Address, int Port, ImmutableArray<FilterChain> Chains)
{
    /// <summary>True when what a client says first decides between them.</summary>
    public bool Detects => Chains.Length > 1;
}
