using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using SocketAddress = Envoy.Config.Core.V3.SocketAddress;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>ClusterLoadAssignment: xDS to the endpoints that may get traffic. Pure.</summary>
internal static class EndpointsBuilder
{
    private const uint MostPriority = 128;

    /// <summary>Builds an assignment.</summary>
    public static Assignment Build(ClusterLoadAssignment proto, Field field) => new(proto.ClusterName, List(proto, field));

    /// <summary>The endpoints of an assignment, by priority, then as given; an address that comes again is left out.</summary>
    public static ImmutableArray<EndpointSettings> List(ClusterLoadAssignment proto, Field field)
    {
        field.At("policy").Unsupported(proto.Policy?.DropOverloads.Count > 0, "drop_overloads");
        var endpoints = new List<EndpointSettings>();
        var seen = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        for (var i = 0; i < proto.Endpoints.Count; i++)
        {
            var at = field.At("endpoints", i);
            var locality = proto.Endpoints[i];
            if (locality.Priority > MostPriority) at.Error("priority", $"{locality.Priority} is more than {MostPriority}");
            for (var k = 0; k < locality.LbEndpoints.Count; k++)
            {
                var built = Endpoint(locality.LbEndpoints[k], locality.Priority, at.At("lb_endpoints", k));
                if (built is not null && seen.Add(built.Authority)) endpoints.Add(built);
            }
        }

        return [.. endpoints.OrderBy(e => e.Priority)];
    }

    /// <summary>Host and port of an address; null after an error.</summary>
    public static EndpointSettings? Address(Address? proto, Field field)
    {
        if (proto?.AddressCase != Envoy.Config.Core.V3.Address.AddressOneofCase.SocketAddress)
        {
            field.Error(proto is null ? "is missing" : "must be a socket_address: others are not supported by this sidecar yet");
            return null;
        }

        var socket = proto.SocketAddress;
        var at = field.At("socket_address");
        at.Unsupported(socket.Protocol != SocketAddress.Types.Protocol.Tcp, "protocol (UDP)");
        at.Unsupported(socket.PortSpecifierCase == SocketAddress.PortSpecifierOneofCase.NamedPort, "named_port");
        if (socket.PortValue is 0 or > 65535) at.Error("port_value", $"{socket.PortValue} is not a port (1 to 65535)");
        if (!IsHost(socket.Address)) at.Error("address", $"\"{socket.Address}\" is neither an IP address nor a host name");
        return Settings(socket.Address, (int)Math.Min(socket.PortValue, 65535));
    }

    private static EndpointSettings? Endpoint(LbEndpoint proto, uint priority, Field field)
    {
        var settings = Address(proto.Endpoint?.Address, field.At("endpoint.address"));
        var more = (proto.Endpoint?.AdditionalAddresses ?? []).Select((additional, i) => Address(additional.Address, field.At("endpoint.additional_addresses", i))).OfType<EndpointSettings>().ToList();
        if (proto.LoadBalancingWeight == 0) field.Error("load_balancing_weight", "must be at least 1");
        if (settings is null || proto.HealthStatus is not (HealthStatus.Unknown or HealthStatus.Healthy)) return null;
        return settings with
        {
            Weight = proto.LoadBalancingWeight ?? 1,
            Priority = priority,
            Hostname = (proto.Endpoint?.Hostname ?? "").ToLowerInvariant(),
            More = [.. more.Select(other => other.Address).OfType<IPEndPoint>().Distinct()],
            Peer = SourceText.Peer(proto.Metadata),
            Identity = SourceText.Identity(proto.Metadata),
            SocketMatch = SourceText.SocketMatch(proto.Metadata, field.At("metadata")),
        };
    }

    private static EndpointSettings Settings(string host, int port)
    {
        var address = IPAddress.TryParse(host, out var ip) ? new IPEndPoint(ip, port) : null;
        var written = ip?.AddressFamily == AddressFamily.InterNetworkV6 ? $"[{ip}]" : host;
        return new EndpointSettings(host, port, string.Create(CultureInfo.InvariantCulture, $"{written}:{port}"), address);
    }

    /// <summary>What may stand as a host: letters, digits, dots, hyphens, underscores, or an IP address. Nothing that could end a line or a name.</summary>
    private static bool IsHost(string text) =>
        text.Length is > 0 and <= 253 && (IPAddress.TryParse(text, out _) || text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_'));
}
