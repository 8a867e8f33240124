using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Telemetry;

/// <summary>Puts into facts what handshakes proved of both sides, and how the connection was protected. Stateless.</summary>
internal static class ProvenLabels
{
    /// <summary>Labels with the ID that was proven; as they are when none was.</summary>
    public static PeerLabels Of(PeerLabels labels, string? principal) => principal is { Length: > 0 } ? labels.As(principal) : labels;

    /// <summary>How a client's connection to us is protected; of one from our own application it is not this that counts.</summary>
    public static ConnectionSecurity Inbound(Direction direction, PeerIdentity? client)
    {
        if (direction == Direction.Outbound) return ConnectionSecurity.Unknown;
        return client is null ? ConnectionSecurity.None : ConnectionSecurity.MutualTls;
    }

    /// <summary>For a request that ended.</summary>
    public static void Put(RequestFacts facts, PeerIdentity? client, PeerLabels self)
    {
        if (facts.Direction == Direction.Inbound)
        {
            facts.Security = Inbound(facts.Direction, client);
            facts.Destination = Of(self, client?.OwnUri);
        }
        else if (facts.Endpoint is { } endpoint)
        {
            var server = endpoint.Tls is null ? null : endpoint.Stats.Proven;
            facts.Security = Outbound(endpoint, server);
            facts.Source = Of(self, server?.OwnUri);
            facts.Destination = Of(endpoint.Peer, server?.Uri);
        }
    }

    /// <summary>For a TCP connection whose upstream is there.</summary>
    public static void Put(TcpFacts facts, PeerLabels self, PeerIdentity? server)
    {
        if (facts.Direction == Direction.Inbound) return;
        facts.Security = Outbound(facts.Endpoint!, server);
        facts.Source = Of(self, server?.OwnUri);
        facts.Destination = Of(facts.Endpoint!.Peer, server?.Uri);
    }

    private static ConnectionSecurity Outbound(Endpoint endpoint, PeerIdentity? server)
    {
        if (endpoint.Tls is null) return ConnectionSecurity.None;
        return server is null ? ConnectionSecurity.Unknown : ConnectionSecurity.MutualTls;
    }
}
