using Mesh.Api.Logging;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Http;
using Mesh.Sidecar.Http.Upstream;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Tcp;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar;

/// <summary>Settings of the data path.</summary>
internal sealed record DataPathSettings
{
    /// <summary>This workload, as it is known in labels and to other sidecars.</summary>
    public required PeerLabels Self { get; init; }

    /// <summary>Most client connections at once, in each direction.</summary>
    public int MostConnections { get; init; } = 10_000;

    /// <summary>Most handshakes with clients at once.</summary>
    public int MostHandshakes { get; init; } = OngoingHandshakes.Usual;

    /// <summary>How long a listener that a new configuration removed may take to let its connections end.</summary>
    public TimeSpan DrainBound { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a TCP connection may live; zero is for ever.</summary>
    public TimeSpan MaxTcpAge { get; init; }

    /// <summary>Our certificate, whom we believe, and the connections that were secured with it.</summary>
    public Security Security { get; init; } = new(TimeProvider.System);

    /// <summary>Asks the control plane about destinations nobody knows; null when there is none.</summary>
    public AskDestination? AskDestination { get; init; }

    /// <summary>Takes connections of <see cref="RulesWatch"/>.</summary>
    public Func<System.Net.Sockets.Socket, bool> IsProbe { get; init; } = _ => false;

    /// <summary>Seed of balancing, jitter and identifiers.</summary>
    public ulong Seed { get; init; } = Randomness.NewSeed();
}

/// <summary>
/// The data path put together: acceptors, the two engines, the two pages, upstream connections. Owned by Program: start it, publish
/// snapshots, drain inbound, stop.
/// </summary>
internal sealed class DataPath : IAsyncDisposable
{
    private readonly UpstreamConnections upstreams;
    private readonly HttpHandOver handOver;
    private readonly HttpServer server;
    private readonly Acceptors acceptors;
    private readonly AuthorizationLog authorizations;

    /// <summary>Puts it together; nothing is accepted before <see cref="StartAsync"/>.</summary>
    public DataPath(Snapshots snapshots, BoundSockets sockets, DataPathSettings settings, TelemetrySink sink, TimeProvider time, Log log)
    {
        var random = new Randomness(settings.Seed);
        Own = new OwnPorts(new LocalAddresses(time), time);
        Verdicts = new Verdicts(time);
        sink.Own.Observe("mesh_sidecar_detection_verdicts", "Destinations of undeclared protocol whose servers are known to speak first.", grows: false, () => Verdicts.All.Count);
        sink.Own.Observe("mesh_sidecar_detection_verdicts_learned_total", "Destinations whose servers were heard to speak first and were not known to.", grows: true, () => Verdicts.Learned);
        sink.Own.Observe("mesh_sidecar_detection_verdicts_dropped_total", "Destinations whose servers were known to speak first and did not.", grows: true, () => Verdicts.Dropped);
        var registered = new RegisteredAddresses();
        Destinations = new DestinationVerdicts(settings.AskDestination, time) { Registered = registered };
        var dialer = new Dialer(snapshots, settings.Security, Own, time, random, sink.Own) { Foreign = Destinations };
        upstreams = new UpstreamConnections(time, dialer, sink.Own);
        var attempts = new Attempts(upstreams, time, random, sink.Own);
        authorizations = new AuthorizationLog(sink.Own, time, log.For("authz"));
        var authorizer = new Authorizer(authorizations);
        var parts = new HttpProxyParts(attempts, new RequestAuthorizer(authorizer, sink.Own), new ForeignHosts(time), new PinnedClusters(time), new Identifiers(random), new MeshSources(), settings.Self, MeshSources.FieldOf(settings.Self), log.For("http"));
        var http = new HttpProxy(snapshots, parts, time, random, sink);
        var tcp = new TcpProxy(dialer, time, random, settings.Self, sink, authorizer) { MaxAge = settings.MaxTcpAge };
        var connect = new ConnectTunnel(snapshots, tcp, dialer, time, random);
        var feed = new ConnectionFeed();
        handOver = new HttpHandOver(feed, time);
        server = new HttpServer(http, feed, time, new KestrelLog(sink.Own, log.For("http")));
        var unknown = new UnknownDestinations(snapshots, tcp, dialer, Destinations, time, sink.Own)
        {
            ByHost = (connection, facts) => handOver.ServeAsync(connection, facts, http2: false),
        };
        acceptors = new Acceptors(sockets, new AcceptorParts
        {
            Snapshots = snapshots,
            Tcp = tcp.ServeAsync,
            DialAhead = tcp.DialAheadAsync,
            Verdicts = Verdicts,
            Peers = new MeshPeers(registered),
            Connect = connect.ServeAsync,
            Unknown = unknown.ServeAsync,
            Http = handOver.ServeAsync,
            SecuredHttp = handOver.ServeSecuredAsync,
            Gate = new CaptureGate(Own),
            IsProbe = settings.IsProbe,
            Limits = ConnectionLimits.For(settings.MostConnections),
            Handshakes = new OngoingHandshakes(settings.MostHandshakes, time),
            Security = settings.Security,
            Metrics = sink.Own,
            Time = time,
            Log = log.For("listening"),
        }, settings.DrainBound);
    }

    /// <summary>The ports that are for nobody's traffic.</summary>
    public OwnPorts Own { get; }

    /// <summary>Where servers speak first.</summary>
    public Verdicts Verdicts { get; }

    /// <summary>What the control plane said of destinations that nobody knows.</summary>
    public DestinationVerdicts Destinations { get; }

    /// <summary>
    /// Call first thing in Main, before any socket is made: completions run on the threads that wait for sockets, with no hand-over between.
    /// </summary>
    public static void TuneRuntime() => Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");

    /// <summary>Begins to serve what the snapshots say.</summary>
    public async Task StartAsync(CancellationToken cancel)
    {
        await server.StartAsync(cancel);
        acceptors.Start();
    }

    /// <summary>Client connections that are open.</summary>
    public int Open => acceptors.Open;

    /// <summary>Lets inbound connections end (no new ones, GOAWAY, <c>Connection: close</c>) while outbound ones go on; the task ends when all have, or at the bound.</summary>
    public Task DrainInboundAsync(TimeSpan bound) => acceptors.DrainInboundAsync(bound);

    /// <summary>Drains everything that is left and ends.</summary>
    public async Task StopAsync(TimeSpan bound)
    {
        await acceptors.StopAsync(bound);
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await server.StopAsync(now.Token);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync(TimeSpan.Zero);
        await server.DisposeAsync();
        handOver.Dispose();
        upstreams.Dispose();
        await authorizations.DisposeAsync();
    }
}
