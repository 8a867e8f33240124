namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>How blocking queries behave when Consul does not. Immutable.</summary>
internal sealed record BlockingQueryOptions
{
    /// <summary>Waits after failures.</summary>
    public Backoff Backoff { get; init; } = new(TimeSpan.FromMilliseconds(250), TimeSpan.FromSeconds(30));

    /// <summary>Returns let through at once.</summary>
    public int Burst { get; init; } = 20;

    /// <summary>Then one return each period: an index that churns costs this much and no more.</summary>
    public TimeSpan Period { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>What a return that brought news costs of that: news shall not wait, but there is a limit to it too.</summary>
    public double NewsCost { get; init; } = 0.1;

    /// <summary>Pause between reads of something that cannot be blocked on (an answer without index).</summary>
    public TimeSpan PollPeriod { get; init; } = TimeSpan.FromSeconds(5);
}

/// <summary>
/// Follows one path of Consul by the rules of blocking queries: the only place that knows what an index means.
/// One loop; ends only by cancellation. What an answer holds is compared by the receiver: a return is no proof of change.
/// </summary>
internal sealed class BlockingQuery<T>(BlockingQueryOptions options, SourceClock clock)
{
    /// <summary>Runs until <paramref name="stop"/>. Neither callback may throw.</summary>
    /// <param name="read">Reads; the index 0 means: do not block.</param>
    /// <param name="answered">Called with each good answer; says whether it was news.</param>
    /// <param name="failed">Called with each failure and how many there were in a row.</param>
    /// <param name="stop">Ends it.</param>
    public async Task RunAsync(
        Func<ulong, CancellationToken, Task<ConsulAnswer<T>>> read,
        Func<ConsulAnswer<T>, bool> answered,
        Action<ConsulException, int> failed,
        CancellationToken stop)
    {
        var bucket = new TokenBucket(options.Burst, options.Period, clock.Time);
        var index = 0UL;
        var failures = 0;
        var cost = 1.0;
        while (!stop.IsCancellationRequested)
        {
            await clock.DelayAsync(bucket.Take(cost), stop);
            ConsulAnswer<T> answer;
            try
            {
                answer = await read(index, stop);
            }
            catch (ConsulException e)
            {
                // The next answer may come from another agent, whose indexes are not comparable.
                index = 0;
                failed(e, ++failures);
                await clock.DelayAsync(options.Backoff.After(failures, clock), stop);
                continue;
            }

            failures = 0;
            cost = answered(answer) ? options.NewsCost : 1;
            if (answer.Index is null) await clock.DelayAsync(options.PollPeriod, stop);
            index = Next(index, answer.Index);
        }
    }

    /// <summary>The index to ask for after an answer.</summary>
    internal static ulong Next(ulong asked, ulong? answered) => answered switch
    {
        // Not blockable: read plainly again after a pause.
        null => 0,
        // 0 would not block at all; 1 does, and is never newer than what there is.
        0 => 1,
        // Backwards: a restored snapshot, a new cluster. Start over; anything else would miss changes or wait for an index far away.
        { } next when next < asked => 0,
        { } next => next,
    };
}
