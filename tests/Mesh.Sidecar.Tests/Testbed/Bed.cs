using System.Net;
using Mesh.Api.Logging;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Telemetry;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Testbed;

/// <summary>A real data path on free ports with a snapshot made by hand.</summary>
internal sealed class Bed : IAsyncDisposable
{
    private readonly BoundSockets sockets = new();
    private readonly DataPath path;

    private Bed(DataPathSettings settings, TimeProvider time, int port)
    {
        Sink = TelemetrySink.Plain(time);
        path = new DataPath(Snapshots, sockets, settings, Sink, time, Log.To(Output, Level.Info, TimeProvider.System));
        Port = sockets.Bind("test", new IPEndPoint(IPAddress.Loopback, port));
    }

    /// <summary>What was logged.</summary>
    public LogLines Output { get; } = new();

    public Snapshots Snapshots { get; } = new();

    public TelemetrySink Sink { get; }

    public DataPath Path => path;

    /// <summary>Address of the one listener.</summary>
    public IPEndPoint Port { get; }

    /// <summary>A data path whose one listener serves HTTP with this route table.</summary>
    public static Task<Bed> HttpAsync(RouteTable routes, Direction direction = Direction.Outbound) =>
        StartAsync(address => Snap(HttpListener(address, routes, direction)));

    /// <summary>A data path with any snapshot. A listener that closes and opens again needs a port that nobody gets meanwhile.</summary>
    public static async Task<Bed> StartAsync(Func<IPEndPoint, Snapshot> snapshot, TimeProvider? time = null, DataPathSettings? settings = null, int port = 0)
    {
        var bed = new Bed(settings ?? new DataPathSettings { Self = new PeerLabels("web-1", "default", "web", "v1"), Seed = 42 }, time ?? TimeProvider.System, port);
        bed.Snapshots.Publish(snapshot(bed.Port));
        await bed.path.StartAsync(CancellationToken.None);
        return bed;
    }

    public Task<RawClient> ConnectAsync() => RawClient.ConnectAsync(Port);

    /// <summary>One request on a connection of its own.</summary>
    public async Task<RawAnswer?> AskAsync(string request, bool head = false)
    {
        using var client = await ConnectAsync();
        await client.SendAsync(request);
        return await client.ReadAnswerAsync(head);
    }

    public async ValueTask DisposeAsync()
    {
        await path.DisposeAsync();
        sockets.Dispose();
        // A fault of the sidecar is never what a test expects.
        var log = Output.ToString();
        if (log.Contains(" error ", StringComparison.Ordinal)) Assert.Fail(log.Replace("\\n", "\n", StringComparison.Ordinal));
    }

    public static Snapshot Snap(params Listener?[] listeners) => new() { Number = 1, Listeners = [.. listeners] };

    public static Listener HttpListener(IPEndPoint address, RouteTable routes, Direction direction = Direction.Outbound, int slot = 0) => new()
    {
        Name = direction == Direction.Outbound ? "outbound" : "inbound|8080",
        Slot = slot,
        Address = address,
        Direction = direction,
        DefaultChain = new FilterChain { Http = new HttpConnectionManager { Routes = routes } },
    };

    public static Listener TcpListener(IPEndPoint address, Cluster cluster, TimeSpan? idle = null) => new()
    {
        Name = "tcp",
        Slot = 0,
        Address = address,
        Direction = Direction.Outbound,
        DefaultChain = new FilterChain { Tcp = TcpTo(cluster, idle) },
    };

    public static TcpProxyConfig TcpTo(Cluster cluster, TimeSpan? idle = null) => new()
    {
        Clusters = [new WeightedCluster(cluster.Name, cluster, 1)],
        TotalWeight = 1,
        IdleTimeout = idle ?? TimeSpan.FromHours(1),
    };

    /// <summary>A table that sends everything by one route.</summary>
    public static RouteTable Table(params Route[] routes) => new()
    {
        Name = "outbound",
        Hosts = [new VirtualHost { Name = "any", Routes = [.. routes] }],
        Any = 0,
    };

    public static RouteTable Table(Cluster cluster) => Table(Route(cluster));

    public static Route Route(Cluster cluster, RetryPolicy? retry = null, TimeSpan timeout = default) => new()
    {
        Name = "to-" + cluster.Name,
        Source = "HTTPRoute default/test rule 0 (rules/test.yaml:7)",
        Match = new RouteMatch { Kind = PathMatchKind.Prefix, Path = "" },
        Clusters = [new WeightedCluster(cluster.Name, cluster, 1)],
        TotalWeight = 1,
        Timeout = timeout,
        Retry = retry ?? Usual,
    };

    /// <summary>The retry policy every route has by default.</summary>
    public static RetryPolicy Usual { get; } = new()
    {
        On = RetryOn.ConnectFailure | RetryOn.RefusedStream | RetryOn.ResetBeforeRequest,
        MaxRetries = 2,
        BackoffBase = TimeSpan.FromMilliseconds(1),
    };

    public static Cluster Cluster(params IPEndPoint[] endpoints) => Cluster(UpstreamProtocol.Http1, endpoints);

    public static Cluster Cluster(UpstreamProtocol protocol, params IPEndPoint[] endpoints) => new()
    {
        Name = "outbound|80||web.default.svc.cluster.local",
        Kind = ClusterKind.Endpoints,
        Policy = LbPolicy.RoundRobin,
        Protocol = protocol,
        Endpoints = [.. endpoints.Select(Endpoint)],
        Service = new ServiceLabels("web.default.svc.cluster.local", "web", "default", 80),
        State = new ClusterState(),
    };

    public static Endpoint Endpoint(IPEndPoint address) => new()
    {
        Host = address.Address.ToString(),
        Port = address.Port,
        Authority = address.ToString(),
        Address = address,
        Peer = new PeerLabels($"peer-{address.Port}", "default", "web", "v1"),
        Stats = new EndpointStats(),
    };

    /// <summary>A port where nothing listens.</summary>
    public static IPEndPoint Nowhere() => new(IPAddress.Loopback, FreePorts.One());
}
