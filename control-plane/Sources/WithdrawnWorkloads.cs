namespace Mesh.ControlPlane.Sources;

/// <summary>
/// Workloads this replica has withdrawn: what the registry still says about them is old, whether it cannot be reached or has not
/// answered yet. Thread safe. An id is forgotten when it registers again or after <see cref="Memory"/>, longer than any read lasts.
/// </summary>
internal sealed class WithdrawnWorkloads(string owner, TimeProvider time)
{
    private static readonly TimeSpan Memory = TimeSpan.FromMinutes(10);
    private readonly Lock gate = new();
    private readonly Dictionary<string, DateTimeOffset> withdrawn = new(StringComparer.Ordinal);

    /// <summary>Raised when an entry becomes hidden, before the workload leaves the local slice. Handlers must not call back.</summary>
    public event Action? Changed;

    /// <summary>Is this entry of the registry known to be over?</summary>
    public bool Hides(RegistryEntry entry)
    {
        if (entry.Owner != owner) return false;
        lock (gate) return withdrawn.ContainsKey(entry.Instance.Id);
    }

    /// <summary>The workload is gone.</summary>
    public void Add(string id)
    {
        lock (gate)
        {
            var now = time.GetUtcNow();
            foreach (var old in withdrawn.Where(w => now - w.Value > Memory).Select(w => w.Key).ToArray()) withdrawn.Remove(old);
            withdrawn[id] = now;
        }

        Changed?.Invoke();
    }

    /// <summary>The workload is back.</summary>
    public void Remove(string id)
    {
        lock (gate) withdrawn.Remove(id);
    }
}
