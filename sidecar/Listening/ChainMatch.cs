using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>Chooses the filter chain of a connection (Envoy's FilterChainMatch, as far as we know it). Pure.</summary>
internal static class ChainMatch
{
    /// <summary>HTTP/1.0, as Envoy's http_inspector names it.</summary>
    public const string Http10 = "http/1.0";

    /// <summary>HTTP/1.1.</summary>
    public const string Http11 = "http/1.1";

    /// <summary>HTTP/2 by prior knowledge.</summary>
    public const string H2C = "h2c";

    /// <summary>
    /// The chain for a connection whose first bytes speak <paramref name="protocol"/> (null: not HTTP, or not inspected): a chain that
    /// lists the protocol beats one that lists none, which beats the default chain. Null refuses the connection.
    /// </summary>
    public static FilterChain? Find(Listener listener, string? protocol)
    {
        FilterChain? any = null;
        foreach (var chain in listener.Chains)
        {
            if (chain.ApplicationProtocols.IsEmpty) any ??= chain;
            else if (protocol is not null && chain.ApplicationProtocols.Contains(protocol)) return chain;
        }

        return any ?? listener.DefaultChain;
    }
}
