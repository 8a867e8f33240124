using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry;

/// <summary>
/// Ends sessions that were not renewed within their time to live; after a restart each gets its full time again.
/// Thread safe; one timer for each session with a TTL, all ended by <see cref="Dispose"/>.
/// </summary>
internal sealed class SessionExpiry(RegistryStore store, TimeProvider time) : IDisposable
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, ITimer> timers = new(StringComparer.Ordinal);
    private bool isDisposed;

    public void Start()
    {
        store.Follow(commit => Apply(commit.State, commit.Sessions));
        var state = store.Current;
        Apply(state, state.Sessions.Keys);
    }

    public void Renew(SessionEntry session)
    {
        lock (gate)
        {
            if (timers.TryGetValue(session.Id, out var timer)) timer.Change(session.TimeToLive, Timeout.InfiniteTimeSpan);
        }
    }

    public void Dispose()
    {
        lock (gate)
        {
            isDisposed = true;
            foreach (var timer in timers.Values) timer.Dispose();
            timers.Clear();
        }
    }

    private void Apply(RegistryState state, IEnumerable<string> touched)
    {
        lock (gate)
        {
            foreach (var id in touched)
            {
                if (timers.Remove(id, out var old)) old.Dispose();
                if (isDisposed || !state.Sessions.TryGetValue(id, out var session) || session.TimeToLive == TimeSpan.Zero) continue;
                timers[id] = time.CreateTimer(_ => End(id), null, session.TimeToLive, Timeout.InfiniteTimeSpan);
            }
        }
    }

    private void End(string id) => store.Change(draft =>
    {
        draft.EndSession(id);
        return true;
    });
}
