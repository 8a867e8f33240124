namespace Mesh.ControlPlane.Sources.Registry.Store;

/// <summary>
/// Keys that nobody may lock for a while because the session that held them was lost. Kept in memory only, as in Consul.
/// Guarded by the store's lock.
/// </summary>
internal sealed class LockDelays(TimeProvider time)
{
    private readonly Dictionary<string, DateTimeOffset> until = new(StringComparer.Ordinal);

    public bool IsDelayed(string key) => until.TryGetValue(key, out var end) && end > time.GetUtcNow();

    public void Start(string key, TimeSpan delay)
    {
        var now = time.GetUtcNow();
        foreach (var (over, _) in until.Where(d => d.Value <= now).ToArray()) until.Remove(over);
        if (delay > TimeSpan.Zero) until[key] = now + delay;
    }
}
