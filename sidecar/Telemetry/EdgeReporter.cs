using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.Telemetry;
using Mesh.Api.V1;
using Mesh.Sidecar.Resilience;

namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// Tells the control plane once a second who talked to whom. One loop, from construction to disposal; reconnects with backoff for ever.
/// Disposal sends what is left, for at most half a second.
/// </summary>
internal sealed class EdgeReporter : IAsyncDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan SweepEvery = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan LastWords = TimeSpan.FromMilliseconds(500);

    private readonly Task<GrpcChannel>? channel;
    private readonly TrafficSeries traffic;
    private readonly EdgeDeltas deltas;
    private readonly TimeProvider time;
    private readonly Randomness random;
    private readonly Log log;
    private readonly CancellationTokenSource stop = new();
    private readonly Task loop;
    private long reported;
    private long swept;

    /// <summary>Starts reporting over <paramref name="channel"/> once it is there; null (no control plane) only keeps the series tidy.</summary>
    public EdgeReporter(Task<GrpcChannel>? channel, TrafficSeries traffic, string nodeId, TimeProvider time, Randomness random, Log log)
    {
        this.channel = channel;
        this.traffic = traffic;
        this.time = time;
        this.random = random;
        this.log = log;
        deltas = new EdgeDeltas(traffic, nodeId);
        swept = reported = time.GetTimestamp();
        loop = Task.Run(RunAsync);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await loop;
        stop.Dispose();
    }

    private async Task RunAsync()
    {
        var failures = 0;
        while (!stop.IsCancellationRequested)
        {
            try
            {
                if (channel is null) await TickAsync();
                else await StreamAsync(await channel.WaitAsync(stop.Token), () => failures = 0);
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (e is GrpcException or HttpRequestException or IOException or OperationCanceledException)
            {
                if (failures++ == 0) log.Info("cannot report traffic to the control plane; it is kept and sent later", ("error", e.Message));
                await WaitAsync(Backoff.Doubling(failures, FirstRetry, LongestRetry, random));
            }
        }
    }

    private async Task StreamAsync(GrpcChannel to, Action delivered)
    {
        using var life = new CancellationTokenSource();
        await using var call = to.Open(TelemetryMethods.Report, new CallOptions(), life.Token);
        try
        {
            while (true)
            {
                await TickAsync();
                await SendAsync(call, stop.Token);
                delivered();
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            life.CancelAfter(LastWords);
            await SendAsync(call, life.Token);
            call.Complete();
            await call.ReadOnlyAsync(life.Token);
            throw;
        }
    }

    private async Task SendAsync(GrpcCall<EdgeReport, ReportSummary> call, CancellationToken cancel)
    {
        var now = time.GetTimestamp();
        var report = deltas.Collect(time.GetElapsedTime(reported, now));
        if (report.Edges.Count > 0)
        {
            await call.WriteAsync(report, cancel);
            deltas.Commit();
        }

        reported = now;
    }

    private async Task TickAsync()
    {
        await Task.Delay(Interval, time, stop.Token);
        if (time.GetElapsedTime(swept) < SweepEvery) return;
        swept = time.GetTimestamp();
        traffic.Requests.Sweep(time.GetUtcNow());
        traffic.Tcp.Sweep(time.GetUtcNow());
    }

    private async Task WaitAsync(TimeSpan wait)
    {
        try
        {
            await Task.Delay(wait, time, stop.Token);
        }
        catch (OperationCanceledException)
        {
            // Stopped while waiting: the loop ends.
        }
    }
}
