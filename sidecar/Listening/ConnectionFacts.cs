using System.Collections.Immutable;
using System.Net;
using Mesh.Api.Identity;
using Mesh.Api.Rbac;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// What is known of an accepted connection; a feature of the connection, so every request on it finds it. Made by the acceptor.
/// Immutable, but for what requests of the connection remember for the next one (races there only cost a repeated lookup).
/// </summary>
internal sealed class ConnectionFacts(Listener listener, IPEndPoint? remote, IPEndPoint? local, Draining draining)
{
    private string? remoteText;
    private string? localText;
    private ConnectionAddresses? addresses;
    private PeerLabels? caller;
    private volatile bool leaving;

    /// <summary>The listener as it was when the connection came; newer ones are found by its slot.</summary>
    public Listener Listener => listener;

    /// <summary>Who the client is, from the handshake of mutual TLS; null on a plaintext connection, whose word proves nothing.</summary>
    public PeerIdentity? Peer { get; init; }

    /// <summary>What the handshake alone says of the client, for labels: its ID and namespace; nothing of one that proved nothing.</summary>
    public PeerLabels Caller => caller ??= Peer is null ? PeerLabels.Unknown : new PeerLabels("unknown", Peer.Namespace, "unknown", "unknown") { Principal = Peer.Uri };

    /// <summary>What the connection speaks, by which its filter chain is found in newer listeners, too.</summary>
    public Spoken Spoken { get; init; } = Spoken.Plain;

    /// <summary>Address of the client; null when it is not known.</summary>
    public IPEndPoint? RemoteEndPoint => remote;

    /// <summary>Our address, the one the client connected to.</summary>
    public IPEndPoint LocalEndPoint => local ?? listener.Address;

    /// <summary>Both addresses, as rules compare them. Made when first asked for; a race costs one more, equal one.</summary>
    public ConnectionAddresses Addresses => addresses ??= new ConnectionAddresses(IpValue.Of(remote?.Address), IpValue.Of(LocalEndPoint.Address));

    /// <summary>Address of the client, for logs.</summary>
    public string Remote => remoteText ??= remote?.ToString() ?? "unknown";

    /// <summary>Our address, for logs.</summary>
    public string Local => localText ??= LocalEndPoint.ToString();

    /// <summary>True when the connection should end with the current request.</summary>
    public bool IsDraining => draining.On || leaving;

    /// <summary>True when its peer was verified under a root that is not among these.</summary>
    public bool IsOutdated(TrustBundle roots) => Peer is { Root.Length: > 0 } peer && !roots.Contains(peer.Root);

    /// <summary>From now on the connection should end with the current request, whatever becomes of its listener.</summary>
    public void Leave() => leaving = true;

    /// <summary>The last x-mesh-source field seen here and what it means, as one object so that a reader never sees halves.</summary>
    public KnownSource? LastSource { get; set; }

    /// <summary>The listener of the newest snapshot, or the one the connection came through when that was removed.</summary>
    public Listener In(Snapshot snapshot) =>
        listener.Slot < snapshot.Listeners.Length && snapshot.Listeners[listener.Slot] is { } current ? current : listener;

    /// <summary>
    /// The chain that serves this connection now; null when there is none any more. A connection that came in plaintext is never served by a
    /// chain that takes mutual TLS.
    /// </summary>
    public FilterChain? ChainOf(Listener now)
    {
        var chain = ChainMatch.Find(now, Spoken);
        return chain?.Tls is not null && Peer is null ? null : chain;
    }
}

/// <summary>What a connection speaks, as far as filter chains choose by it. Immutable.</summary>
/// <param name="Transport"><c>tls</c> or <c>raw_buffer</c>.</param>
/// <param name="Protocols">ALPN of a TLS client in its order, or what detection found.</param>
internal sealed record Spoken(string Transport, ImmutableArray<string> Protocols)
{
    /// <summary>Over TLS.</summary>
    public const string Tls = "tls";

    /// <summary>Over the bare connection.</summary>
    public const string RawBuffer = "raw_buffer";

    /// <summary>Plaintext that was not looked into.</summary>
    public static Spoken Plain { get; } = new(RawBuffer, []);

    /// <summary>Plaintext in which this was found.</summary>
    public static Spoken Found(string? protocol) => protocol switch
    {
        null => Plain,
        ChainMatch.Http11 => Http11,
        ChainMatch.H2C => H2C,
        _ => new(RawBuffer, [protocol]),
    };

    private static Spoken Http11 { get; } = new(RawBuffer, [ChainMatch.Http11]);

    private static Spoken H2C { get; } = new(RawBuffer, [ChainMatch.H2C]);
}

/// <summary>The ends of a connection as numbers.</summary>
internal sealed record ConnectionAddresses(IpValue Source, IpValue Destination);

/// <summary>A header field of another sidecar and the labels it stands for.</summary>
internal sealed record KnownSource(string Field, PeerLabels Labels);

/// <summary>Whether a listener drains: one writer, any number of readers.</summary>
internal sealed class Draining
{
    private volatile bool on;

    /// <summary>True from the begin of the drain on.</summary>
    public bool On => on;

    /// <summary>Begins the drain.</summary>
    public void Begin() => on = true;
}
