using System.Net.Http.Json;
using Mesh.Api.Grpc;
using Mesh.Api.Operators;
using Mesh.Api.Telemetry;
using Mesh.Api.V1;
using Mesh.ControlPlane.Tests.Identity;

namespace Mesh.ControlPlane.Tests.Admin.Traffic;

/// <summary>Over real mutual TLS: a workload tells of its own traffic, and of nobody else's.</summary>
public sealed class TelemetryGateTests
{
    private const string Own = "sidecar~127.0.0.1~cart-1~shop";

    [Theory]
    [InlineData("sidecar~127.0.0.1~cart-1~bank", "source", "shop", "cart", "node_id", "is not of the namespace of spiffe://cluster.local/ns/shop/sa/cart")]
    [InlineData(Own, "source", "bank", "teller", "namespace", "as bank/teller")]
    [InlineData(Own, "destination", "bank", "teller", "namespace", "as bank/teller")]
    [InlineData(Own, "source", "shop", "web", "service", "as shop/web, which it may not serve")]
    [InlineData(Own, "destination", "shop", "web", "service", "as shop/web, which it may not serve")]
    public async Task A_report_for_another_is_refused_and_counted(string node, string reporter, string ns, string service, string reason, string words)
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var own = await mesh.JoinAsync("ns/shop/sa/cart", "cart");
        using var certified = mesh.Client(own);
        await using var reports = certified.Channel.Open(TelemetryMethods.Report, default, CancellationToken.None);
        await reports.WriteAsync(Report(node, reporter, ns, service), CancellationToken.None);

        var refused = await Assert.ThrowsAsync<GrpcException>(() => reports.ReadAsync(CancellationToken.None).AsTask().WaitAsync(TimeSpan.FromSeconds(20)));
        Assert.Equal(GrpcStatusCode.PermissionDenied, refused.Status.Code);
        Assert.Contains(words, refused.Message);
        using var http = new HttpClient();
        Assert.Contains($"mesh_telemetry_refused_total{{reason=\"{reason}\"}} 1", await http.GetStringAsync($"http://{mesh.Program.Addresses["health"]}/metrics"));
        using var answer = await mesh.OperateAsync(HttpMethod.Get, OperatorsApi.Edges + "?window=30s");
        Assert.Empty((await answer.Content.ReadFromJsonAsync(OperatorsJson.Default.EdgeList))!.Edges);
    }

    [Theory]
    [InlineData("")]
    [InlineData("Destination")]
    [InlineData("sink")]
    public async Task Who_is_neither_source_nor_destination_does_not_count_as_the_destination(string reporter)
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var own = await mesh.JoinAsync("ns/shop/sa/cart", "cart");
        using var certified = mesh.Client(own);
        await using var reports = certified.Channel.Open(TelemetryMethods.Report, default, CancellationToken.None);
        var forged = Report(Own, "source", "shop", "cart");
        forged.Edges[0].Reporter = reporter;
        await reports.WriteAsync(forged, CancellationToken.None);
        var refused = await Assert.ThrowsAsync<GrpcException>(() => reports.ReadAsync(CancellationToken.None).AsTask().WaitAsync(TimeSpan.FromSeconds(20)));
        Assert.Equal(GrpcStatusCode.PermissionDenied, refused.Status.Code);
        Assert.Contains("neither source nor destination", refused.Message);
    }

    [Fact]
    public async Task Without_a_certificate_nobody_reports()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var stranger = mesh.Client();
        await using var reports = stranger.Channel.Open(TelemetryMethods.Report, default, CancellationToken.None);
        var refused = await Assert.ThrowsAsync<GrpcException>(async () =>
        {
            await reports.WriteAsync(Report(Own, "source", "shop", "cart"), CancellationToken.None);
            await reports.ReadAsync(CancellationToken.None).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        });
        Assert.Equal(GrpcStatusCode.Unauthenticated, refused.Status.Code);
    }

    private static EdgeReport Report(string node, string reporter, string ns, string service)
    {
        var self = new Edge.Types.Workload { Workload_ = "cart-1", Namespace = ns, Service = service };
        var other = new Edge.Types.Workload { Workload_ = "db-1", Namespace = "shop", Service = "db" };
        var edge = new Edge { Reporter = reporter, Protocol = "http", Requests = 10 };
        (edge.Source, edge.Destination) = reporter == "source" ? (self, other) : (other, self);
        return new EdgeReport { NodeId = node, Edges = { edge } };
    }
}
