using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>Chooses the filter chain of a connection among those for its destination (Envoy's FilterChainMatch, as far as we know it). Pure.</summary>
internal static class ChainMatch
{
    /// <summary>HTTP/1.0, as Envoy's http_inspector names it.</summary>
    public const string Http10 = "http/1.0";

    /// <summary>HTTP/1.1.</summary>
    public const string Http11 = "http/1.1";

    /// <summary>HTTP/2 by prior knowledge.</summary>
    public const string H2C = "h2c";

    /// <summary>
    /// The chain for a connection: chains for its transport beat those for either, and there is no way back to these; among them a chain that
    /// lists one of its protocols, in the client's order, beats one that lists none, which beats the default chain. Null refuses the connection.
    /// </summary>
    public static FilterChain? Find(ChainGroup group, Spoken spoken)
    {
        var transport = "";
        foreach (var chain in group.Chains)
        {
            if (chain.TransportProtocol == spoken.Transport) transport = chain.TransportProtocol;
        }

        foreach (var protocol in spoken.Protocols)
        {
            foreach (var chain in group.Chains)
            {
                if (chain.TransportProtocol == transport && chain.ApplicationProtocols.Contains(protocol)) return chain;
            }
        }

        foreach (var chain in group.Chains)
        {
            if (chain.TransportProtocol == transport && chain.ApplicationProtocols.IsEmpty) return chain;
        }

        return group.Otherwise;
    }
}
