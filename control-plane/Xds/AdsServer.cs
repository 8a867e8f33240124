using Envoy.Service.Discovery.V3;
using Mesh.Api.Grpc;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Model;
using Microsoft.AspNetCore.Routing;

namespace Mesh.ControlPlane.Xds;

/// <summary>
/// The aggregated discovery service: one <see cref="AdsStream"/> for each stream of a client. Thread safe; <see cref="Stop"/> ends all
/// streams with UNAVAILABLE, so that clients come back to the next control plane.
/// </summary>
internal sealed class AdsServer : IDisposable
{
    private const string Service = "envoy.service.discovery.v3.AggregatedDiscoveryService";

    /// <summary>More streams than this are refused.</summary>
    private const int MostStreams = 20_000;

    /// <summary>Of a node id that is no good.</summary>
    private const int LongestShown = 200;

    private static readonly TimeSpan FirstRequestWithin = TimeSpan.FromSeconds(10);

    private static readonly GrpcMethod<DiscoveryRequest, DiscoveryResponse> Stream =
        new(Service, "StreamAggregatedResources", DiscoveryRequest.Parser, DiscoveryResponse.Parser);

    private static readonly GrpcMethod<DeltaDiscoveryRequest, DeltaDiscoveryResponse> Delta =
        new(Service, "DeltaAggregatedResources", DeltaDiscoveryRequest.Parser, DeltaDiscoveryResponse.Parser);

    private readonly AdsServices services;
    private readonly ConnectedNodes nodes;
    private readonly CancellationTokenSource stopping = new();
    private long streams;

    /// <summary>A server of what <paramref name="services"/> feeds.</summary>
    public AdsServer(AdsServices services, ConnectedNodes nodes)
    {
        this.nodes = nodes;
        this.services = services with { OnRequest = OnRequest };
        services.Feed.Changed += OnConfig;
    }

    /// <summary>Adds the service's methods to an application.</summary>
    public void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGrpcDuplex(Stream, ServeAsync);
        endpoints.MapGrpcDuplex(Delta, (_, _, _) =>
            throw new GrpcException(GrpcStatusCode.Unimplemented, "delta xDS is not served yet; use StreamAggregatedResources (api_type GRPC)"));
    }

    /// <summary>Ends all streams and takes no new ones.</summary>
    public void Stop() => stopping.Cancel();

    /// <inheritdoc/>
    public void Dispose()
    {
        services.Feed.Changed -= OnConfig;
        stopping.Dispose();
    }

    private async Task ServeAsync(MessageReader<DiscoveryRequest> requests, MessageWriter<DiscoveryResponse> responses, ServerCallContext context)
    {
        if (stopping.IsCancellationRequested) throw Stopping();
        if (nodes.Count >= MostStreams) throw new GrpcException(GrpcStatusCode.ResourceExhausted, $"{MostStreams} nodes are connected, more are not taken");
        using var end = CancellationTokenSource.CreateLinkedTokenSource(context.Cancellation, stopping.Token);
        var first = await FirstAsync(requests, end.Token);
        var node = await AdmitAsync(Describe(first), context, end.Token);
        if (!nodes.HasRoomFor(node)) throw new GrpcException(GrpcStatusCode.ResourceExhausted, $"captured traffic is taken at {ConnectedNodes.MostOutbounds} different addresses in this mesh, each of which is a listener to keep; more are not taken: use the usual ports");
        using var stream = new AdsStream(node, $"{Interlocked.Increment(ref streams):x}", services) { AdmittedAt = nodes.World.Version, Holder = HolderOf(context), SeenAt = context.Http.Connection.RemoteIpAddress };
        var log = services.Log;
        log.Info("a node connected", ("node", node.Id), ("client", node.UserAgent));
        if (nodes.Add(stream) is { } problem)
        {
            services.Metrics.Disbelieved();
            log.Warn("a node's address is not believed", ("node", node.Id), ("identity", node.Identity), ("error", problem));
        }

        var reason = "client";
        try
        {
            await RunAsync(stream, first, requests, responses, end);
        }
        catch (StuckClientException stuck)
        {
            reason = "stuck";
            log.Warn("a node's stream is ended", ("node", node.Id), ("reason", stuck.Message));
            // A status would wait behind the response the client does not read.
            context.Http.Abort();
        }
        catch (GrpcException e)
        {
            reason = "refused";
            log.Warn("a node's stream is ended", ("node", node.Id), ("reason", e.Message));
            throw;
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            reason = "stopping";
            throw Stopping();
        }
        finally
        {
            nodes.Remove(stream);
            services.Metrics.Ended(reason);
            log.Info("a node left", ("node", node.Id), ("reason", reason));
        }
    }

    private static async Task RunAsync(
        AdsStream stream, DiscoveryRequest first, MessageReader<DiscoveryRequest> requests, MessageWriter<DiscoveryResponse> responses, CancellationTokenSource end)
    {
        var receive = stream.ReceiveAsync(first, requests, end.Token);
        var send = stream.SendAsync(responses, end.Token);
        var ended = await Task.WhenAny(receive, send);
        await end.CancelAsync();
        try
        {
            await Task.WhenAll(receive, send);
        }
        catch (OperationCanceledException) when (ended.IsCompletedSuccessfully)
        {
            // The client half-closed; the writer was cancelled because of that.
        }
        catch (Exception) when (ended.IsFaulted)
        {
            // The first failure is the cause; the other loop only heard of it.
        }

        await ended;
    }

    private async Task<DiscoveryRequest> FirstAsync(MessageReader<DiscoveryRequest> requests, CancellationToken cancellation)
    {
        try
        {
            return await requests.ReadAsync(cancellation).AsTask().WaitAsync(FirstRequestWithin, services.Time, cancellation)
                ?? throw new GrpcException(GrpcStatusCode.InvalidArgument, "the stream ended without a request");
        }
        catch (TimeoutException)
        {
            throw new GrpcException(GrpcStatusCode.InvalidArgument, $"no request within {FirstRequestWithin.TotalSeconds:0} seconds");
        }
    }

    private NodeDescription Describe(DiscoveryRequest first)
    {
        if (first.Node is null)
            throw Refused("the first request of a stream must carry node", "");
        return NodeDescription.TryParse(first.Node, out var node, out var error) ? node : throw Refused(error, first.Node.Id);
    }

    /// <summary>The node with the identity it proved; unchanged where nothing was proved. It waits for the rules that say who may what.</summary>
    private async Task<NodeDescription> AdmitAsync(NodeDescription node, ServerCallContext context, CancellationToken cancellation)
    {
        if (context.Http.Features.Get<Caller>() is not { } caller) return node;
        await services.Feed.Ready.WaitAsync(cancellation);
        if (NodeAuthority.Check(node, caller.Id, nodes.World, nodes.Descriptions) is not { } refusal) return node with { Identity = caller.Id.ToString() };
        services.Metrics.Denied(refusal.Reason);
        services.Log.Warn("a node is refused", ("node", node.Id), ("identity", caller.Id), ("reason", refusal.Reason), ("error", refusal.Text));
        throw new GrpcException(GrpcStatusCode.PermissionDenied, refusal.Text);
    }

    private static string? HolderOf(ServerCallContext context) =>
        context.Http.Connection.ClientCertificate is { } certificate && Holder.TryRead(certificate, out var holder) ? holder.Id : null;

    private GrpcException Refused(string error, string node)
    {
        services.Log.Warn("a node is refused", ("node", node.Length > LongestShown ? node[..LongestShown] : node), ("error", error));
        return new GrpcException(GrpcStatusCode.InvalidArgument, error);
    }

    private void OnConfig()
    {
        nodes.Reconsider();
        nodes.WakeAll();
        nodes.UpdateInterest();
    }

    // gRPC clients ask service by service; sidecars said at the start what they need.
    private void OnRequest(AdsStream stream, RequestKind kind, string typeUrl)
    {
        if (kind is RequestKind.Ack or RequestKind.Stale or RequestKind.UnknownType) return;
        if (stream.Node.Emitter == EmitterKind.Grpc && typeUrl == ResourceKind.Listeners.TypeUrl) nodes.UpdateInterest();
    }

    private static GrpcException Stopping() => new(GrpcStatusCode.Unavailable, "the control plane is stopping");
}
