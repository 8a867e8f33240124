using System.IO.Pipelines;
using System.Text;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Tests.Telemetry;

/// <summary>Facts of requests and connections for tests of telemetry.</summary>
internal static class Samples
{
    public static readonly PeerLabels Web = new("web-1", "shop", "web", "v1");
    public static readonly PeerLabels Cart = new("cart-1", "shop", "cart", "v2");
    public static readonly ServiceLabels CartService = new("cart.shop.svc.cluster.local", "cart", "shop", 80);

    public static RequestFacts Request(TimeProvider time, double milliseconds = 12, int status = 200) => new()
    {
        Direction = Direction.Outbound,
        Source = Web,
        Destination = Cart,
        Service = CartService,
        Cluster = Cluster(),
        Endpoint = Cluster().Endpoints[0],
        Started = time.GetTimestamp() - (long)(milliseconds * time.TimestampFrequency / 1000),
        Ended = time.GetTimestamp(),
        Status = status,
        Method = "GET",
        Path = "/items?id=1",
        Authority = "cart",
        Protocol = "HTTP/1.1",
        RequestBytes = 3,
        ResponseBytes = 700,
        RequestId = "abc",
        Attempts = 1,
        DownstreamLocal = "127.0.0.1:15001",
        DownstreamRemote = "127.0.0.1:5555",
        UserAgent = "curl/8",
        UpstreamTicks = time.TimestampFrequency / 100,
    };

    public static TcpFacts Tcp(TimeProvider time) => new()
    {
        Direction = Direction.Inbound,
        Source = Web,
        Destination = Cart,
        Service = CartService,
        Started = time.GetTimestamp(),
        Ended = time.GetTimestamp(),
    };

    public static Cluster Cluster() => new()
    {
        Name = "outbound|80||cart.shop.svc.cluster.local",
        Kind = ClusterKind.Endpoints,
        Policy = LbPolicy.RoundRobin,
        Service = CartService,
        State = new ClusterState(),
        Source = "consul:cart",
        Endpoints =
        [
            new Endpoint { Host = "10.0.0.7", Port = 4000, Authority = "10.0.0.7:4000", Peer = Cart, Stats = new EndpointStats() },
        ],
    };

    /// <summary>The whole exposition as text.</summary>
    public static async Task<string> ExposeAsync(TelemetrySink sink)
    {
        var stream = new MemoryStream();
        var pipe = PipeWriter.Create(stream);
        await new Exposition(sink.Traffic, sink.Own).WriteAsync(pipe, CancellationToken.None);
        await pipe.CompleteAsync();
        return Encoding.UTF8.GetString(stream.ToArray());
    }
}
