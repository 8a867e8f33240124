namespace Mesh.ControlPlane.Sources.Registry.Store;

/// <summary>What one change did: the new state and the agent's checks and the sessions it touched. Immutable.</summary>
internal sealed record Commit(RegistryState State, IReadOnlyCollection<string> AgentChecks, IReadOnlyCollection<string> Sessions);

/// <summary>
/// The one place where the registry's state changes: one writer at a time, readers see whole states only.
/// Thread safe; lives as long as the registry.
/// </summary>
internal sealed class RegistryStore(RegistryState initial, WatchHub watches, TimeProvider time)
{
    private readonly Lock gate = new();
    private readonly LockDelays lockDelays = new(time);
    private readonly List<Action<Commit>> followers = [];
    private volatile RegistryState current = initial;

    public RegistryState Current => current;

    /// <summary>Calls <paramref name="follower"/> after each change, in order and under the store's lock: it must be quick and must not change the store.</summary>
    public void Follow(Action<Commit> follower)
    {
        lock (gate) followers.Add(follower);
    }

    /// <summary>
    /// Runs a change on a draft of the state. The draft becomes the state when it changed something and was not rejected
    /// (<see cref="RegistryDraft.Reject"/>); then the watchers of what it touched wake up.
    /// </summary>
    public T Change<T>(Func<RegistryDraft, T> change)
    {
        lock (gate)
        {
            var draft = new RegistryDraft(current, lockDelays);
            var result = change(draft);
            if (!draft.IsChanged || draft.IsRejected) return result;
            current = draft.Finish();
            draft.StartLockDelays();
            var commit = new Commit(current, draft.TouchedAgentChecks, draft.TouchedSessions);
            foreach (var follower in followers) follower(commit);
            watches.Signal(draft.Topics);
            return result;
        }
    }
}
