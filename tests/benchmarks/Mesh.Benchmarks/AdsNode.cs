using System.Collections.Concurrent;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Service.Discovery.V3;
using Google.Protobuf.WellKnownTypes;
using Text = Google.Protobuf.WellKnownTypes.Value;
using Mesh.Api.Grpc;
using Mesh.Api.Xds;

namespace Mesh.Benchmarks;

/// <summary>
/// A bare ADS client: subscribes as a sidecar does, ACKs everything at once and tells who waits when a response was ACKed.
/// Owned by the bench; ends with its stream.
/// </summary>
internal sealed class AdsNode : IAsyncDisposable
{
    private readonly GrpcChannel channel;
    private readonly GrpcCall<DiscoveryRequest, DiscoveryResponse> stream;
    private readonly ConcurrentDictionary<string, (TaskCompletionSource<long> Done, Func<DiscoveryResponse, bool> Wanted)> waiters = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string[]> names = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim writing = new(1, 1);

    public AdsNode(string controlPlane, int number)
    {
        channel = new GrpcChannel(controlPlane);
        stream = channel.Open(Ads, new CallOptions(), CancellationToken.None);
        var mesh = new Struct();
        mesh.Fields["service"] = Text.ForString("bench");
        mesh.Fields["namespace"] = Text.ForString("default");
        mesh.Fields["outbound"] = Text.ForString("127.0.0.1:15001");
        mesh.Fields["discover"] = Text.ForString("all");
        Node = new Node
        {
            Id = $"sidecar~127.0.0.1~bench-{number}~default",
            Cluster = "bench",
            UserAgentName = "mesh-sidecar",
            Metadata = new Struct { Fields = { ["mesh"] = Text.ForStruct(mesh) } },
        };
    }

    public static GrpcMethod<DiscoveryRequest, DiscoveryResponse> Ads { get; } = new(
        "envoy.service.discovery.v3.AggregatedDiscoveryService", "StreamAggregatedResources", DiscoveryRequest.Parser, DiscoveryResponse.Parser);

    private Node Node { get; }

    /// <summary>Subscribes and runs until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        await SendAsync(new DiscoveryRequest { Node = Node, TypeUrl = TypeUrls.Cluster }, cancellation);
        await SendAsync(new DiscoveryRequest { TypeUrl = TypeUrls.Listener }, cancellation);
        while (await stream.ReadAsync(cancellation) is { } response)
        {
            await SendAsync(Ack(response), cancellation);
            foreach (var (key, waiter) in waiters)
            {
                if (waiter.Wanted(response) && waiters.TryRemove(key, out _)) waiter.Done.TrySetResult(System.Diagnostics.Stopwatch.GetTimestamp());
            }

            await FollowAsync(response, cancellation);
        }
    }

    /// <summary>Completes with the timestamp at which the first response that fits was ACKed.</summary>
    public Task<long> AckOf(Func<DiscoveryResponse, bool> wanted)
    {
        var done = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        waiters[Guid.NewGuid().ToString()] = (done, wanted);
        return done.Task;
    }

    public async ValueTask DisposeAsync()
    {
        await stream.DisposeAsync();
        channel.Dispose();
        writing.Dispose();
    }

    private DiscoveryRequest Ack(DiscoveryResponse response)
    {
        var ack = new DiscoveryRequest { TypeUrl = response.TypeUrl, VersionInfo = response.VersionInfo, ResponseNonce = response.Nonce };
        if (names.TryGetValue(response.TypeUrl, out var subscribed)) ack.ResourceNames.AddRange(subscribed);
        return ack;
    }

    private async Task FollowAsync(DiscoveryResponse response, CancellationToken cancellation)
    {
        if (response.TypeUrl == TypeUrls.Cluster)
        {
            var eds = response.Resources.Select(r => r.Unpack<Cluster>()).Where(c => c.EdsClusterConfig is not null)
                .Select(c => c.EdsClusterConfig.ServiceName.Length > 0 ? c.EdsClusterConfig.ServiceName : c.Name);
            await SubscribeAsync(TypeUrls.ClusterLoadAssignment, eds, cancellation);
        }
        else if (response.TypeUrl == TypeUrls.Listener)
        {
            var rds = response.Resources.Select(r => r.Unpack<Listener>()).SelectMany(l => l.FilterChains).SelectMany(c => c.Filters)
                .Where(f => f.TypedConfig.Is(HttpConnectionManager.Descriptor)).Select(f => f.TypedConfig.Unpack<HttpConnectionManager>())
                .Where(m => m.Rds is not null).Select(m => m.Rds.RouteConfigName);
            await SubscribeAsync(TypeUrls.RouteConfiguration, rds, cancellation);
        }
    }

    private async Task SubscribeAsync(string type, IEnumerable<string> wanted, CancellationToken cancellation)
    {
        var next = wanted.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToArray();
        if (next.Length == 0 || (names.TryGetValue(type, out var old) && old.SequenceEqual(next))) return;
        names[type] = next;
        var request = new DiscoveryRequest { TypeUrl = type };
        request.ResourceNames.AddRange(next);
        await SendAsync(request, cancellation);
    }

    private async Task SendAsync(DiscoveryRequest request, CancellationToken cancellation)
    {
        await writing.WaitAsync(cancellation);
        try
        {
            await stream.WriteAsync(request, cancellation);
        }
        finally
        {
            writing.Release();
        }
    }
}
