using System.Globalization;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>What a read depends on: the topic to wait for and the index its answer has. Immutable.</summary>
internal readonly record struct Watched(Topic Topic, Func<RegistryState, ulong> IndexOf);

/// <summary>
/// Answers reads at once, or, when the request names an index, once what it reads has a higher one. A waiting request holds no thread.
/// Thread safe; <see cref="Stop"/> lets all that wait answer at once.
/// </summary>
internal sealed class BlockingQuery(RegistryStore store, WatchHub watches, TimeProvider time, Random random) : IDisposable
{
    private const int JitterPart = 16;
    private readonly CancellationTokenSource stopping = new();

    /// <summary>The state to answer from; the answer's headers are set.</summary>
    public async Task<RegistryState> ReadAsync(RegistryRequest request, Watched watched)
    {
        var options = QueryOptions.Parse(request.Query);
        var state = options.Index == 0
            ? store.Current
            : await WaitAsync(watched.Topic, s => watched.IndexOf(s) > options.Index, options.Wait, request.Aborted);
        request.SetHeader("X-Consul-Index", Math.Max(watched.IndexOf(state), 1).ToString(CultureInfo.InvariantCulture));
        request.SetHeader("X-Consul-KnownLeader", "true");
        request.SetHeader("X-Consul-LastContact", "0");
        request.SetHeader("X-Consul-Effective-Consistency", options.Consistency);
        request.SetHeader("X-Consul-Query-Backend", "blocking-query");
        return state;
    }

    public void Stop() => stopping.Cancel();

    public void Dispose() => stopping.Dispose();

    /// <summary>The first state that is news; the current one when the time is over. Changes are looked for only after a signal for the topic.</summary>
    public async Task<RegistryState> WaitAsync(Topic topic, Func<RegistryState, bool> isNews, TimeSpan wait, CancellationToken aborted)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(aborted, stopping.Token);
        var deadline = Task.Delay(WithJitter(wait), time, over.Token);
        try
        {
            while (true)
            {
                using var waiter = watches.Enter(topic) ?? throw new Refusal(429, "too many blocking queries; ask again later or without index");
                var state = store.Current;
                if (isNews(state)) return state;
                await Task.WhenAny(waiter.Changed, deadline);
                if (deadline.IsCompleted) return store.Current;
            }
        }
        finally
        {
            await over.CancelAsync();
        }
    }

    /// <summary>Up to a sixteenth more than was asked for, so that clients do not come back all at once.</summary>
    private TimeSpan WithJitter(TimeSpan wait)
    {
        lock (random) return wait + (wait / JitterPart * random.NextDouble());
    }
}
