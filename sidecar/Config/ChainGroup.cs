using System.Collections.Immutable;

namespace Mesh.Sidecar.Config;

/// <summary>
/// The filter chains among which a connection's first bytes choose: all of its listener, or those for its destination. Immutable; what is asked
/// for each connection is worked out once.
/// </summary>
public sealed class ChainGroup
{
    /// <summary>Chains in document order, and the one for what none of them matches.</summary>
    public ChainGroup(ImmutableArray<FilterChain> chains, FilterChain? otherwise)
    {
        (Chains, Otherwise) = (chains, otherwise);
        ImmutableArray<FilterChain> all = otherwise is null || chains.Any(c => c is { TransportProtocol: "", ApplicationProtocols.IsEmpty: true }) ? chains : [.. chains, otherwise];
        SpeaksHttp = all.Any(c => c is { Http: not null, Tls: null });
        AsksForTls = all.Any(c => c.Tls is not null || c.TransportProtocol.Length > 0);
        TakesPlaintext = all.Any(c => c.Tls is null && c.TransportProtocol != "tls");
        TakesMutualTls = all.Any(c => c.Tls is not null);
    }

    /// <summary>No chain: nobody is served.</summary>
    public static ChainGroup None { get; } = new([], null);

    /// <summary>Chains in document order.</summary>
    public ImmutableArray<FilterChain> Chains { get; }

    /// <summary>The chain for what no other matches; null refuses it.</summary>
    public FilterChain? Otherwise { get; }

    /// <summary>True when first bytes tell its chains apart whatever the listener says: it was made here, for an instance, and not configured.</summary>
    public bool Detects { get; init; }

    /// <summary>True when some chain speaks HTTP in plaintext: an engine has to be chosen by the first bytes.</summary>
    public bool SpeaksHttp { get; }

    /// <summary>True when it matters whether the client speaks TLS.</summary>
    public bool AsksForTls { get; }

    /// <summary>True when some chain takes plaintext.</summary>
    public bool TakesPlaintext { get; }

    /// <summary>True when mutual TLS ends at some chain.</summary>
    public bool TakesMutualTls { get; }
}
