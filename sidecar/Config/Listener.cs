using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Net;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Config;

/// <summary>A listener as xDS describes it, resolved. Immutable.</summary>
public sealed record Listener
{
    private readonly ImmutableArray<FilterChain> chains = [];
    private readonly FilterChain? defaultChain;
    private readonly DestinationIndex? destinations;
    private ChainGroup?[]? groups; // made when first asked for; a race costs one more, equal one

    /// <summary>Name of the xDS resource.</summary>
    public required string Name { get; init; }

    /// <summary>Position in <see cref="Snapshot.Listeners"/>; the same for the same name over the life of the process.</summary>
    public required int Slot { get; init; }

    /// <summary>Where it listens.</summary>
    public required IPEndPoint Address { get; init; }

    /// <summary>Which way its traffic goes.</summary>
    public required Direction Direction { get; init; }

    /// <summary>Chains in document order; the most specific match wins (Envoy's FilterChainMatch).</summary>
    public ImmutableArray<FilterChain> Chains
    {
        get => chains;
        init => (chains, groups) = (value, null);
    }

    /// <summary>The chain for what no other matches; null refuses it.</summary>
    public FilterChain? DefaultChain
    {
        get => defaultChain;
        init => (defaultChain, groups) = (value, null);
    }

    /// <summary>Which chains are for which destination; null when none asks for one.</summary>
    public DestinationIndex? Destinations
    {
        get => destinations;
        init => (destinations, groups) = (value, null);
    }

    /// <summary>True when connections come to it that were meant for somebody else (original_dst): where to is asked of the kernel.</summary>
    public bool IsCaptured { get; init; }

    /// <summary>True when such connections keep their addresses (TPROXY): our end of them is where they were meant to go.</summary>
    public bool IsTransparent { get; init; }

    /// <summary>True when the first bytes decide (http_inspector): wait for them, at most <see cref="DetectTimeout"/>.</summary>
    public bool InspectsHttp { get; init; }

    /// <summary>True when a client's TLS is looked into before the chain is chosen (tls_inspector).</summary>
    public bool InspectsTls { get; init; }

    /// <summary>
    /// How long to wait for first bytes before the default chain is taken; zero waits for ever
    /// (also without continue_on_listener_filters_timeout, where Envoy closes: an idle connection harms nobody).
    /// </summary>
    public TimeSpan DetectTimeout { get; init; }

    /// <summary>Provenance text for admin, may be empty.</summary>
    public string Source { get; init; } = "";

    /// <summary>Where each authorization policy was written, by its key: file:line.</summary>
    internal FrozenDictionary<string, string> PolicySources { get; init; } = FrozenDictionary<string, string>.Empty;

    /// <summary>True when a refusal by policy names the policy to its client (x-mesh-denied-by).</summary>
    internal bool NamesDenyingPolicy { get; init; }

    /// <summary>The chains for a destination; null when only <see cref="DefaultChain"/> is left.</summary>
    public ChainGroup? GroupOf(IPEndPoint destination)
    {
        if (Destinations is null) return Group(0);
        var group = Destinations.Find(Destination.Of(destination));
        return group < 0 ? null : Group(group);
    }

    /// <summary>What is left where no chain is for the destination.</summary>
    public ChainGroup Rest => Group(Destinations?.Members.Length ?? 1);

    private ChainGroup Group(int number)
    {
        var known = groups ??= new ChainGroup?[(Destinations?.Members.Length ?? 1) + 1];
        return known[number] ??= Make(number);
    }

    private ChainGroup Make(int number)
    {
        if (Destinations is null) return number == 0 ? new ChainGroup(Chains, DefaultChain) : new ChainGroup([], DefaultChain);
        return number == Destinations.Members.Length
            ? new ChainGroup([], DefaultChain)
            : new ChainGroup([.. Destinations.Members[number].Select(i => Chains[i])], DefaultChain);
    }
}

/// <summary>Which way traffic goes, seen from the application.</summary>
public enum Direction
{
    /// <summary>From the application to the mesh; reporter "source".</summary>
    Outbound,

    /// <summary>From the mesh to the application; reporter "destination".</summary>
    Inbound,
}

/// <summary>What a connection is handed to.</summary>
public sealed record FilterChain
{
    /// <summary>Name, may be empty.</summary>
    public string Name { get; init; } = "";

    /// <summary>The port a connection was meant for; 0 is any.</summary>
    public int DestinationPort { get; init; }

    /// <summary>The addresses a connection was meant for; empty is any.</summary>
    public ImmutableArray<AddressPrefix> Destinations { get; init; } = [];

    /// <summary>What it is spoken over: <c>tls</c>, <c>raw_buffer</c>; empty is either.</summary>
    public string TransportProtocol { get; init; } = "";

    /// <summary>Mutual TLS that ends here; null passes the bytes on as they come.</summary>
    internal DownstreamTls? Tls { get; init; }

    /// <summary>ALPN, or what detection says (<c>http/1.0</c>, <c>http/1.1</c>, <c>h2c</c>); empty is any.</summary>
    public ImmutableArray<string> ApplicationProtocols { get; init; } = [];

    /// <summary>HTTP connection manager, or null when this chain is TCP.</summary>
    public HttpConnectionManager? Http { get; init; }

    /// <summary>TCP proxy, or null when this chain is HTTP.</summary>
    public TcpProxyConfig? Tcp { get; init; }
}

/// <summary>Settings of HTTP on a chain.</summary>
public sealed record HttpConnectionManager
{
    /// <summary>Where requests go.</summary>
    public required RouteTable Routes { get; init; }

    /// <summary>Name of the RouteConfiguration asked for by RDS; null when the routes are written inside the listener.</summary>
    public string? RdsName { get; init; }

    /// <summary>Which engines serve it.</summary>
    public HttpCodec Codec { get; init; } = HttpCodec.Auto;

    /// <summary>Idle bound of a stream; zero is none.</summary>
    public TimeSpan StreamIdleTimeout { get; init; }

    /// <summary>Who may send which request; null is everybody everything.</summary>
    internal Authorization? Authorization { get; init; }

    /// <summary>What the application is told of the caller's certificate (x-forwarded-client-cert). What callers say themselves is never passed on.</summary>
    public ClientCertDetails ClientCert { get; init; }
}

/// <summary>HTTP version on a chain.</summary>
public enum HttpCodec
{
    /// <summary>By the first bytes.</summary>
    Auto,

    /// <summary>HTTP/1 only.</summary>
    Http1,

    /// <summary>HTTP/2 by prior knowledge only.</summary>
    Http2,
}

/// <summary>Settings of opaque TCP on a chain.</summary>
public sealed record TcpProxyConfig
{
    /// <summary>Where connections go, by weight.</summary>
    public required ImmutableArray<WeightedCluster> Clusters { get; init; }

    /// <summary>Sum of all weights.</summary>
    public required uint TotalWeight { get; init; }

    /// <summary>Both directions silent for this long ends the connection. Default one hour.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromHours(1);

    /// <summary>Who may connect; null is everybody.</summary>
    internal Authorization? Authorization { get; init; }
}
