using Envoy.Config.Core.V3;
using Envoy.Service.Discovery.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;
using Mesh.ControlPlane.Xds;

namespace Mesh.ControlPlane.Tests.Xds;

/// <summary>A bare ADS client on the real gRPC layer: it plays a sidecar, line by line or by itself. For one test.</summary>
internal sealed class AdsClient : IAsyncDisposable
{
    internal static readonly GrpcMethod<DiscoveryRequest, DiscoveryResponse> Method = new(
        "envoy.service.discovery.v3.AggregatedDiscoveryService", "StreamAggregatedResources", DiscoveryRequest.Parser, DiscoveryResponse.Parser);

    private readonly CancellationTokenSource patience = new(TimeSpan.FromSeconds(30));
    private readonly GrpcCall<DiscoveryRequest, DiscoveryResponse> call;
    private readonly Node node;
    private bool introduced;

    public AdsClient(GrpcChannel channel, string id = "sidecar~127.0.0.1~test-1~default", Node? node = null, string? identity = null, string? seenAt = null)
    {
        this.node = node ?? SidecarNode(id);
        call = channel.Open(Method, TestCaller.As(identity, seenAt), patience.Token);
    }

    public CancellationToken Patience => patience.Token;

    /// <summary>A sidecar with an outbound listener that discovers everything.</summary>
    public static Node SidecarNode(string id) => new()
    {
        Id = id,
        Cluster = "test",
        UserAgentName = "mesh-sidecar",
        Metadata = new Struct { Fields = { ["mesh"] = Value.ForStruct(new Struct { Fields = { ["outbound"] = Value.ForString("127.0.0.1:15001") } }) } },
    };

    public Task AskAsync(ResourceKind kind, params string[] names) => SendAsync(new DiscoveryRequest { TypeUrl = kind.TypeUrl, ResourceNames = { names } });

    public Task AckAsync(DiscoveryResponse response, params string[] names) => SendAsync(new DiscoveryRequest
    {
        TypeUrl = response.TypeUrl,
        ResponseNonce = response.Nonce,
        VersionInfo = response.VersionInfo,
        ResourceNames = { names },
    });

    public Task NackAsync(DiscoveryResponse response, string why) => SendAsync(new DiscoveryRequest
    {
        TypeUrl = response.TypeUrl,
        ResponseNonce = response.Nonce,
        ErrorDetail = new Google.Rpc.Status { Code = 3, Message = why },
    });

    public Task SendAsync(DiscoveryRequest request)
    {
        if (!introduced) request.Node = node;
        introduced = true;
        return SendBareAsync(request);
    }

    /// <summary>Sends a request as it is.</summary>
    public Task SendBareAsync(DiscoveryRequest request) => call.WriteAsync(request, Patience);

    public async Task<DiscoveryResponse> ReadAsync(ResourceKind? expected = null)
    {
        var response = await call.ReadAsync(Patience) ?? throw new InvalidOperationException("the stream ended");
        if (expected is not null) Assert.Equal(expected.TypeUrl, response.TypeUrl);
        return response;
    }

    /// <summary>The status the server ended the stream with.</summary>
    public async Task<GrpcStatus> EndAsync()
    {
        var end = await Assert.ThrowsAsync<GrpcException>(async () =>
        {
            while (await call.ReadAsync(Patience) is not null)
            {
                // Whatever came before the end.
            }
        });
        return end.Status;
    }

    /// <summary>Behaves as a sidecar: subscribes to everything it is told of, and acknowledges; tells each response after its ACK.</summary>
    public async Task FollowAsync(Action<DiscoveryResponse> seen)
    {
        await AskAsync(ResourceKind.Clusters);
        await AskAsync(ResourceKind.Listeners);
        string[] clusters = [];
        while (await call.ReadAsync(Patience) is { } response)
        {
            if (response.TypeUrl == ResourceKind.Clusters.TypeUrl)
            {
                clusters = [.. response.Resources.Select(r => r.Unpack<Envoy.Config.Cluster.V3.Cluster>()).Where(c => c.EdsClusterConfig is not null).Select(c => c.Name)];
                await AckAsync(response);
                await AskEndpointsAsync(clusters);
            }
            else if (response.TypeUrl == ResourceKind.Listeners.TypeUrl)
            {
                await AckAsync(response);
                await AskAsync(ResourceKind.Routes, "outbound");
            }
            else
            {
                if (response.TypeUrl == ResourceKind.Endpoints.TypeUrl) endpointNonce = response.Nonce;
                await AckAsync(response, response.TypeUrl == ResourceKind.Endpoints.TypeUrl ? clusters : ["outbound"]);
            }

            seen(response);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await call.DisposeAsync();
        patience.Dispose();
    }

    private string endpointNonce = "";

    private Task AskEndpointsAsync(string[] clusters) =>
        SendAsync(new DiscoveryRequest { TypeUrl = ResourceKind.Endpoints.TypeUrl, ResponseNonce = endpointNonce, ResourceNames = { clusters } });
}
