namespace Mesh.ControlPlane.Sources.Registry.Store;

/// <summary>
/// Wakes those who wait for a topic. A waiter costs a dictionary entry and a task, never a thread; there are at most a set number of them.
/// Thread safe. A topic nobody waits for costs nothing.
/// </summary>
internal sealed class WatchHub(int maxWaiters)
{
    private readonly Lock gate = new();
    private readonly Dictionary<Topic, Watch> watches = [];
    private readonly HashSet<string> prefixes = new(StringComparer.Ordinal);
    private int waiters;

    public int Waiters
    {
        get { lock (gate) return waiters; }
    }

    /// <summary>Begins to wait: every signal from now on completes the watch. Null when there are too many already. Dispose to stop.</summary>
    public Waiter? Enter(Topic topic)
    {
        lock (gate)
        {
            if (waiters >= maxWaiters) return null;
            waiters++;
            if (!watches.TryGetValue(topic, out var watch))
            {
                watches.Add(topic, watch = new Watch());
                if (topic.Kind == TopicKind.KeyPrefix) prefixes.Add(topic.Name);
            }

            watch.Count++;
            return new Waiter(this, topic, watch);
        }
    }

    public void Signal(IEnumerable<Topic> topics)
    {
        lock (gate)
        {
            foreach (var topic in topics)
            {
                Complete(topic);
                if (topic.Kind != TopicKind.Key) continue;
                foreach (var prefix in prefixes.Where(p => topic.Name.StartsWith(p, StringComparison.Ordinal)).ToArray())
                    Complete(Topic.KeyPrefix(prefix));
            }
        }
    }

    private void Complete(Topic topic)
    {
        if (!watches.TryGetValue(topic, out var watch)) return;
        Forget(topic);
        watch.Changed.SetResult();
    }

    private void Leave(Topic topic, Watch watch)
    {
        lock (gate)
        {
            waiters--;
            if (--watch.Count == 0 && watches.GetValueOrDefault(topic) == watch) Forget(topic);
        }
    }

    private void Forget(Topic topic)
    {
        watches.Remove(topic);
        if (topic.Kind == TopicKind.KeyPrefix) prefixes.Remove(topic.Name);
    }

    /// <summary>All that wait for one topic until its next change. Guarded by the hub's lock.</summary>
    internal sealed class Watch
    {
        public readonly TaskCompletionSource Changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Count;
    }

    /// <summary>One who waits; to be disposed once by its owner.</summary>
    internal sealed class Waiter(WatchHub hub, Topic topic, Watch watch) : IDisposable
    {
        public Task Changed => watch.Changed.Task;

        public void Dispose() => hub.Leave(topic, watch);
    }
}
