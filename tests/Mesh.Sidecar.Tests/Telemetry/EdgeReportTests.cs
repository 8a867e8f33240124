using System.Collections.Concurrent;
using System.Net;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.Telemetry;
using Mesh.Api.V1;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Telemetry;
using Mesh.Tests;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Mesh.Sidecar.Tests.Telemetry;

public class EdgeReportTests
{
    private readonly ManualTimeProvider time = new();

    [Fact]
    public void An_edge_adds_up_all_series_between_two_workloads()
    {
        var sink = TelemetrySink.Plain(time);
        sink.Request(Samples.Request(time, milliseconds: 12));
        sink.Request(Samples.Request(time, milliseconds: 12));
        sink.Request(Samples.Request(time, milliseconds: 90, status: 503));
        sink.Request(Samples.Request(time, milliseconds: 1, status: 404));
        var edge = Assert.Single(new EdgeDeltas(sink.Traffic, "n").Collect(TimeSpan.FromSeconds(1)).Edges);
        Assert.Equal(("web-1", "cart-1", "source", "http"), (edge.Source.Workload_, edge.Destination.Workload_, edge.Reporter, edge.Protocol));
        Assert.Equal((4ul, 1ul, 12ul, 2800ul), (edge.Requests, edge.Failures, edge.RequestBytes, edge.ResponseBytes));
        Assert.Equal(115, edge.LatencySumMs, 0.01);
        Assert.Equal(4ul, edge.LatencyBuckets.Aggregate((a, b) => a + b));
        Assert.Equal(2ul, edge.LatencyBuckets[LatencyBuckets.IndexOf(12)]);
        Assert.Equal(1ul, edge.LatencyBuckets[LatencyBuckets.IndexOf(90)]);
    }

    [Theory]
    [InlineData(200, -1, Failure.None, false)]
    [InlineData(404, -1, Failure.None, false)]
    [InlineData(500, -1, Failure.None, true)]
    [InlineData(0, -1, Failure.ClientGone, true)]
    [InlineData(200, 0, Failure.None, false)]
    [InlineData(200, 5, Failure.None, false)]
    [InlineData(200, 14, Failure.None, true)]
    public void A_failure_is_what_the_server_did_wrong(int status, int grpc, Failure failure, bool failed)
    {
        var sink = TelemetrySink.Plain(time);
        var facts = Samples.Request(time, status: status);
        (facts.GrpcStatus, facts.Failure, facts.Grpc) = (grpc, failure, grpc >= 0);
        sink.Request(facts);
        Assert.Equal(failed ? 1ul : 0, Assert.Single(new EdgeDeltas(sink.Traffic, "n").Collect(TimeSpan.Zero).Edges).Failures);
    }

    [Fact]
    public void What_was_not_delivered_is_in_the_next_report_and_what_was_is_not()
    {
        var sink = TelemetrySink.Plain(time);
        var deltas = new EdgeDeltas(sink.Traffic, "n");
        var tcp = Samples.Tcp(time);
        sink.TcpOpened(tcp);
        sink.Request(Samples.Request(time));
        Assert.Equal(2, deltas.Collect(TimeSpan.Zero).Edges.Count);
        sink.Request(Samples.Request(time));
        tcp.SentBytes = 10;
        var second = deltas.Collect(TimeSpan.Zero);
        Assert.Equal((2ul, 1ul, 10ul), (second.Edges[0].Requests, second.Edges[1].TcpOpened, second.Edges[1].TcpSentBytes));
        deltas.Commit();
        Assert.Empty(deltas.Collect(TimeSpan.Zero).Edges);
        sink.TcpClosed(tcp);
        sink.Request(Samples.Request(time));
        var third = deltas.Collect(TimeSpan.Zero);
        Assert.Equal((1ul, 0ul, 1ul), (third.Edges[0].Requests, third.Edges[1].TcpOpened, third.Edges[1].TcpClosed));
    }

    [Fact]
    public void A_refusal_before_any_endpoint_still_names_the_service()
    {
        var sink = TelemetrySink.Plain(time);
        var facts = Samples.Request(time, status: 503);
        facts.Destination = PeerLabels.Unknown;
        facts.Failure = Failure.NoEndpoint;
        sink.Request(facts);
        var to = Assert.Single(new EdgeDeltas(sink.Traffic, "n").Collect(TimeSpan.Zero).Edges).Destination;
        Assert.Equal(("unknown", "cart", "shop"), (to.Workload_, to.Service, to.Namespace));
    }

    [Fact]
    public async Task Every_request_arrives_once_across_a_restart_of_the_control_plane()
    {
        var reports = new ConcurrentQueue<EdgeReport>();
        var server = await ServeAsync(reports, FreePorts.One());
        var port = new Uri(server.Urls.Single()).Port;
        var sink = TelemetrySink.Plain(TimeProvider.System);
        using var channel = new GrpcChannel($"127.0.0.1:{port}");
        await using (new EdgeReporter(Task.FromResult(channel), sink.Traffic, "node-1", TimeProvider.System, new Randomness(1), Log.Silent))
        {
            sink.Request(Samples.Request(TimeProvider.System));
            await Eventually.HoldsAsync(() => Requests() == 1, "Requests() == 1");
            await server.DisposeAsync();
            for (var i = 0; i < 10; i++) sink.Request(Samples.Request(TimeProvider.System));
            await Eventually.HoldsAsync(() => sink.Traffic.Requests.All[0].Latency.Count() == 11, "sink.Traffic.Requests.All[0].Latency.Count() == 11");
            server = await ServeAsync(reports, port);
            await Eventually.HoldsAsync(() => Requests() >= 11, "Requests() >= 11");
            sink.Request(Samples.Request(TimeProvider.System));
        }

        // The last one was sent by the disposal.
        await Eventually.HoldsAsync(() => Requests() >= 12, "Requests() >= 12");
        Assert.Equal(12ul, Requests());
        Assert.All(reports, report => Assert.Equal("node-1", report.NodeId));
        await server.DisposeAsync();

        ulong Requests() => reports.SelectMany(r => r.Edges).Aggregate(0ul, (sum, edge) => sum + edge.Requests);
    }

    private static async Task<WebApplication> ServeAsync(ConcurrentQueue<EdgeReport> reports, int port)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            GrpcKestrel.Configure(kestrel);
            kestrel.Listen(IPAddress.Loopback, port, listen => listen.Protocols = HttpProtocols.Http2);
        });
        var app = builder.Build();
        app.MapGrpcClientStreaming(TelemetryMethods.Report, async (messages, context) =>
        {
            using var end = CancellationTokenSource.CreateLinkedTokenSource(context.Cancellation, app.Lifetime.ApplicationStopping);
            ulong count = 0;
            while (await messages.ReadAsync(end.Token) is { } report)
            {
                reports.Enqueue(report);
                count++;
            }

            return new ReportSummary { Reports = count };
        });
        await app.StartAsync();
        return app;
    }
}
