using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Checks;

/// <summary>What a probe needs beside its check: shared by all probes of a registry.</summary>
internal sealed record ProbeContext(CheckProbes Probes, TimeProvider Time, Random Random, Action<CheckDefinition, ProbeResult> Report);

/// <summary>Tries an HTTP or TCP check again and again, one try at a time, until it is disposed. Owns its loop.</summary>
internal sealed class ProbeMonitor(CheckDefinition check, string status, ProbeContext context) : CheckMonitor(check)
{
    private static readonly TimeSpan MaxStagger = TimeSpan.FromSeconds(1);
    private readonly CancellationTokenSource stop = new();
    private readonly Thresholds thresholds = new(check, status);
    private Task loop = Task.CompletedTask;

    public override void Start() => loop = Task.Run(RunAsync);

    public override async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await loop;
        stop.Dispose();
    }

    private async Task RunAsync()
    {
        try
        {
            // Checks that were registered together do not all fire together.
            var first = Check.Period < MaxStagger ? Check.Period : MaxStagger;
            await Task.Delay(first * context.Random.NextDouble(), context.Time, stop.Token);
            while (true)
            {
                var result = await TryOnceAsync();
                context.Report(Check, result with { Status = thresholds.Add(result.Status) });
                await Task.Delay(CheckDefinition.Bounded(Check.Period), context.Time, stop.Token);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
        }
    }

    private async Task<ProbeResult> TryOnceAsync()
    {
        using var limit = new CancellationTokenSource(CheckDefinition.Bounded(Check.Timeout), context.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, stop.Token);
        try
        {
            return await context.Probes.RunAsync(Check, either.Token);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            return new ProbeResult(CheckStatus.Critical, $"{Check.Target}: no answer within {Check.Timeout.TotalSeconds} s");
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // A target or header that nobody can use, such as a port above 65535: the check fails, its loop and the registry go on.
            return new ProbeResult(CheckStatus.Critical, $"{Check.Target}: {e.Message}");
        }
    }
}
