using System.Collections.Immutable;
using System.Net.Sockets;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Resilience;

namespace Mesh.Sidecar.Dns;

/// <summary>
/// The resolver of the application beside this sidecar: names of the mesh from the table, everything else from the machine's resolvers, nothing kept.
/// Owned by Program: give it its sockets, start it, dispose it. Thread safe.
/// </summary>
internal sealed class DnsServer : IAsyncDisposable
{
    /// <summary>Queries on their way to resolvers, each with up to three sockets.</summary>
    private const int MostForwarded = 512;

    /// <summary>Queries that wait until some of those are through: bursts pass, and hold no more than their few bytes.</summary>
    private const int MostWaiting = 4096;

    /// <summary>TCP connections of clients.</summary>
    private const int MostConnections = 128;

    private readonly ImmutableArray<Socket> sockets;
    private readonly ImmutableArray<Func<CancellationToken, Task>> servers;
    private readonly Places forwarded = new(MostForwarded, MostWaiting);
    private readonly Places connections = new(MostConnections);
    private readonly CancellationTokenSource stop = new();
    private readonly Snapshots snapshots;
    private Task running = Task.CompletedTask;

    /// <summary>A server on these sockets, datagrams and listening ones; it owns them.</summary>
    public DnsServer(ImmutableArray<Socket> sockets, Snapshots snapshots, ResolverFile file, QueryPorts ports, TimeProvider time, Randomness random)
    {
        (this.sockets, this.snapshots, File) = (sockets, snapshots, file);
        var own = new OwnQueries();
        var responder = new Responder(new MeshAnswers(snapshots, new Ipv6Routes(time), random), own, Counters);
        var (udp, tcp) = (new UdpForwarder(file, own, ports, Counters, time), new TcpForwarder(file, own, Counters, time));
        servers =
        [
            .. sockets.Select<Socket, Func<CancellationToken, Task>>(s => s.SocketType == SocketType.Dgram
                ? new DatagramServer(s, responder, udp, forwarded, Counters, time).RunAsync
                : new StreamServer(s, responder, tcp, connections, Counters, time).RunAsync),
        ];
    }

    /// <summary>What became of queries.</summary>
    public DnsCounters Counters { get; } = new();

    /// <summary>Whom everything else is asked of.</summary>
    public ResolverFile File { get; }

    /// <summary>The table that answers; null before there is one.</summary>
    public NameTable? Names => snapshots.Current.Names;

    /// <summary>Begins to answer.</summary>
    public void Start() => running = Task.WhenAll(servers.Select(run => run(stop.Token)));

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        foreach (var socket in sockets) socket.Dispose();
        await running;
        await forwarded.CloseAsync();
        await connections.CloseAsync();
        stop.Dispose();
    }
}
