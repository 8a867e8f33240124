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
    private KnownChain? known;
    private volatile bool leaving;

    /// <summary>The listener as it was when the connection came; newer ones are found by its slot.</summary>
    public Listener Listener => listener;

    /// <summary>Who the client is, from the handshake of mutual TLS; null on a plaintext connection, whose word proves nothing.</summary>
    public PeerIdentity? Peer { get; private set; }

    /// <summary>What the handshake alone says of the client, for labels: its ID and namespace; nothing of one that proved nothing.</summary>
    public PeerLabels Caller => caller ??= Peer is null ? PeerLabels.Unknown : new PeerLabels("unknown", Peer.Namespace, "unknown", "unknown") { Principal = Peer.Uri };

    /// <summary>What the connection speaks, by which its filter chain is found in newer listeners, too.</summary>
    public Spoken Spoken { get; private set; } = Spoken.Plain;

    /// <summary>Says what the first bytes and the handshake told. Called by the acceptor, once, before anybody else has it.</summary>
    public void Tell(Spoken spoken, PeerIdentity? peer) => (Spoken, Peer) = (spoken, peer);

    /// <summary>Address of the client; null when it is not known.</summary>
    public IPEndPoint? RemoteEndPoint => remote;

    /// <summary>Where a captured connection was meant to go; null for one that was made to us.</summary>
    public IPEndPoint? Original { get; init; }

    /// <summary>True when it goes by the hosts its requests name, though it was meant for somebody nobody knows.</summary>
    public bool GoesByHost { get; init; }

    /// <summary>True when requests for others may go on to where the connection was meant to go: it is known that this is not the mesh.</summary>
    public bool MayPassOn { get; init; }

    /// <summary>The same connection, to go by the hosts its requests name.</summary>
    public ConnectionFacts ByHost(bool mayPassOn) => new(listener, remote, local, draining) { Spoken = Spoken.Found(ChainMatch.Http11), Original = Original, GoesByHost = true, MayPassOn = mayPassOn };

    /// <summary>The client's address where the application is to see it (TPROXY), else null.</summary>
    public IPAddress? ClientAddress => listener.IsTransparent && Original is not null && remote is not null && !IPAddress.IsLoopback(remote.Address)
        ? OriginalDestination.Unmapped(remote).Address
        : null;

    /// <summary>The address the client connected to: where it was meant to go, else our own.</summary>
    public IPEndPoint LocalEndPoint => Original ?? local ?? listener.Address;

    /// <summary>Both addresses, as rules compare them. Made when first asked for; a race costs one more, equal one.</summary>
    public ConnectionAddresses Addresses => addresses ??= new ConnectionAddresses(IpValue.Of(remote?.Address), IpValue.Of(LocalEndPoint.Address));

    /// <summary>Address of the client, for logs.</summary>
    public string Remote => remoteText ??= remote?.ToString() ?? "unknown";

    /// <summary>The address the client connected to, for logs.</summary>
    public string Local => localText ??= LocalEndPoint.ToString();

    /// <summary>True when the connection should end with the current request.</summary>
    public bool IsDraining => draining.On || leaving;

    /// <summary>True when its peer was verified under a root that is not among these.</summary>
    public bool IsOutdated(TrustBundle roots) => Peer is { Root.Length: > 0 } peer && !roots.Contains(peer.Root);

    /// <summary>From now on the connection should end with the current request, whatever becomes of its listener.</summary>
    public void Leave() => leaving = true;

    /// <summary>The last x-mesh-source field seen here and what it means, as one object so that a reader never sees halves.</summary>
    public KnownSource? LastSource { get; set; }

    /// <summary>True when the client could have come over mutual TLS.</summary>
    public bool TakesMutualTls => (listener.GroupOf(LocalEndPoint) ?? listener.Rest).TakesMutualTls;

    /// <summary>The cluster of the one endpoint where the connection was meant to go, once a request asked for it.</summary>
    public Cluster? Pinned { get; set; }

    /// <summary>The listener of the newest snapshot, or the one the connection came through when that was removed.</summary>
    public Listener In(Snapshot snapshot) =>
        listener.Slot < snapshot.Listeners.Length && snapshot.Listeners[listener.Slot] is { } current ? current : listener;

    /// <summary>
    /// The chain that serves this connection now; null when there is none any more. A connection that came in plaintext is never served by a
    /// chain that takes mutual TLS.
    /// </summary>
    public FilterChain? ChainIn(Snapshot snapshot)
    {
        var (now, last) = (In(snapshot), known);
        if (last is not null && ReferenceEquals(last.Of, now) && (last.Instances is null || ReferenceEquals(last.Instances, snapshot.Instances))) return last.Chain;
        var instance = false;
        var group = GoesByHost ? now.GroupOf(now.Address) : ChainGroups.For(snapshot, now, Original, LocalEndPoint, out instance);
        // An instance that has left its service is still where its connections go.
        if (last is { Instances: not null } && group is null) return last.Chain;
        var chain = ChainMatch.Find(group ?? ChainGroups.Rest(now, Original), Spoken);
        if (chain?.Tls is not null && Peer is null) chain = null;
        known = new KnownChain(now, instance ? snapshot.Instances : null, chain);
        return chain;
    }

    /// <summary>
    /// A listener and the chain that serves this connection, as one object so that a reader never sees halves; with the instances it was found
    /// among, when it leads to one.
    /// </summary>
    private sealed record KnownChain(Listener Of, InstanceIndex? Instances, FilterChain? Chain);
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
