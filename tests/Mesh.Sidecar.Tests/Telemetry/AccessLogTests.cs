using System.Text;
using System.Text.Json;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Telemetry;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Telemetry;

public class AccessLogTests
{
    private readonly ManualTimeProvider time = new();
    private readonly MemoryStream output = new();
    private readonly SidecarMetrics own = new();

    [Fact]
    public async Task Text_is_istios_line()
    {
        var lines = await LogAsync(AccessLogMode.All, AccessLogFormat.Text, Samples.Request(time, milliseconds: 12));
        Assert.Equal(
            "[2029-12-31T23:59:59.988Z] \"GET /items?id=1 HTTP/1.1\" 200 - via_upstream - \"-\" 3 700 12 10 \"-\" \"curl/8\" \"abc\" \"cart\" " +
            "\"10.0.0.7:4000\" outbound|80||cart.shop.svc.cluster.local - 127.0.0.1:15001 127.0.0.1:5555 - -",
            Assert.Single(lines));
    }

    [Fact]
    public async Task Json_has_istios_keys()
    {
        var line = Assert.Single(await LogAsync(AccessLogMode.All, AccessLogFormat.Json, Samples.Request(time)));
        using var json = JsonDocument.Parse(line);
        string[] keys =
        [
            "start_time", "method", "path", "protocol", "response_code", "response_flags", "response_code_details",
            "connection_termination_details", "upstream_transport_failure_reason", "bytes_received", "bytes_sent", "duration",
            "upstream_service_time", "x_forwarded_for", "user_agent", "request_id", "authority", "upstream_host", "upstream_cluster",
            "upstream_local_address", "downstream_local_address", "downstream_remote_address", "requested_server_name", "route_name",
        ];
        Assert.Equal(keys, json.RootElement.EnumerateObject().Select(p => p.Name));
        Assert.Equal("10.0.0.7:4000", json.RootElement.GetProperty("upstream_host").GetString());
        Assert.Equal(200, json.RootElement.GetProperty("response_code").GetInt32());
    }

    [Theory]
    [InlineData(AccessLogFormat.Text)]
    [InlineData(AccessLogFormat.Json)]
    internal async Task A_client_cannot_forge_a_line(AccessLogFormat format)
    {
        var facts = Samples.Request(time);
        facts.UserAgent = "x\"\n[2026-01-01T00:00:00.000Z] \"GET /forged\u2028\u0085\u001b[2J";
        var line = Assert.Single(await LogAsync(AccessLogMode.All, format, facts));
        Assert.DoesNotContain(line, c => char.IsControl(c) || c == '\u2028');
        if (format == AccessLogFormat.Text) Assert.Contains("\"x\\\"\\u000a[2026", line, StringComparison.Ordinal);
        else Assert.Equal(facts.UserAgent, JsonDocument.Parse(line).RootElement.GetProperty("user_agent").GetString());
    }

    [Fact]
    public async Task Errors_only_leaves_out_what_went_well()
    {
        var failed = Samples.Request(time, status: 503);
        failed.Failure = Failure.NoEndpoint;
        var grpc = Samples.Request(time);
        grpc.GrpcStatus = 13;
        var lines = await LogAsync(AccessLogMode.Errors, AccessLogFormat.Text, Samples.Request(time), failed, Samples.Request(time, status: 404), grpc);
        Assert.Equal(2, lines.Length);
        Assert.Contains(" 503 UH no_healthy_upstream ", lines[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_full_ring_drops_and_counts_and_nobody_waits()
    {
        var stuck = new StuckStream();
        await using var log = new AccessLog(AccessLogMode.All, AccessLogFormat.Text, stuck, own.AccessLogDropped, time);
        for (var i = 0; i < 10_000; i++) log.Request(Samples.Request(time));
        Assert.Equal(10_000 - 4096, own.AccessLogDropped.Value);
        stuck.Release();
    }

    [Fact]
    public async Task A_tcp_connection_is_one_line()
    {
        var facts = Samples.Tcp(time);
        facts.ReceivedBytes = 7;
        facts.SentBytes = 8;
        var log = new AccessLog(AccessLogMode.All, AccessLogFormat.Text, output, own.AccessLogDropped, time);
        log.Tcp(facts);
        await log.DisposeAsync();
        Assert.Contains("\"- - -\" 0 - - - \"-\" 7 8 0 - ", Encoding.UTF8.GetString(output.ToArray()), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_ring_keeps_order_for_each_writer_and_loses_nothing_it_took()
    {
        var ring = new BoundedRing<(int Writer, int Number)>(64);
        const int each = 20_000;
        var writers = Enumerable.Range(0, 3).Select(w => Task.Run(() =>
        {
            for (var i = 0; i < each; i++)
            {
                while (!ring.TryWrite((w, i))) Thread.Yield();
            }
        })).ToArray();
        var next = new int[3];
        while (next.Sum() < 3 * each)
        {
            if (ring.TryRead(out var item)) Assert.Equal(next[item.Writer]++, item.Number);
        }

        await Task.WhenAll(writers);
        Assert.False(ring.TryRead(out _));
    }

    private async Task<string[]> LogAsync(AccessLogMode mode, AccessLogFormat format, params RequestFacts[] requests)
    {
        var log = new AccessLog(mode, format, output, own.AccessLogDropped, time);
        foreach (var facts in requests) log.Request(facts);
        await log.DisposeAsync();
        return Encoding.UTF8.GetString(output.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    private sealed class StuckStream : MemoryStream
    {
        private readonly TaskCompletionSource gate = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Release() => gate.TrySetResult();

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => await gate.Task;
    }
}
