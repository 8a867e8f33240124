namespace Mesh.ControlPlane.Sources.Registry.Store;

/// <summary>The operations on keys. Those that are conditional answer whether the condition held.</summary>
internal sealed partial class RegistryDraft
{
    /// <summary>Sets a key. A lock on it stays, but its count begins anew (as in Consul).</summary>
    public void SetKey(string key, byte[] value, ulong flags) =>
        PutKey(new KvEntry(key) { Value = value, Flags = flags, Session = State.Kv.Find(key)?.Session ?? "" });

    /// <summary>Sets a key if its index is still the one given; 0 = if it is not there.</summary>
    public bool SetKeyIfIndex(string key, byte[] value, ulong flags, ulong index)
    {
        if ((State.Kv.Find(key)?.ModifyIndex ?? 0) != index) return false;
        SetKey(key, value, flags);
        return true;
    }

    public void RemoveKey(string key)
    {
        if (State.Kv.Find(key) is null) return;
        State = State with { Kv = State.Kv.Without(key, Index) };
        topics.Add(Topic.Key(key));
    }

    /// <summary>Removes a key if its index is still the one given; a key that is not there is as good as removed.</summary>
    public bool RemoveKeyIfIndex(string key, ulong index)
    {
        if (State.Kv.Find(key) is not { } found) return true;
        if (found.ModifyIndex != index) return false;
        RemoveKey(key);
        return true;
    }

    public void RemoveKeysUnder(string prefix)
    {
        foreach (var entry in State.Kv.Under(prefix).ToArray()) RemoveKey(entry.Key);
    }

    /// <summary>Takes the lock on a key for a session (or keeps it) and sets the value. False: another holds it, or its lock delay runs.</summary>
    public bool Lock(string key, byte[] value, ulong flags, string session)
    {
        var found = State.Kv.Find(key);
        var isHeld = found is { Session.Length: > 0 };
        if (isHeld && found!.Session != session) return false;
        if (!isHeld && lockDelays.IsDelayed(key)) return false;
        var count = (found?.LockIndex ?? 0) + (isHeld ? 0UL : 1UL);
        PutKey(new KvEntry(key) { Value = value, Flags = flags, Session = session, LockIndex = count });
        return true;
    }

    /// <summary>Gives the lock back and sets the value. False: the session does not hold it.</summary>
    public bool Unlock(string key, byte[] value, ulong flags, string session)
    {
        if (State.Kv.Find(key) is not { } found || found.Session.Length == 0 || found.Session != session) return false;
        PutKey(new KvEntry(key) { Value = value, Flags = flags, LockIndex = found.LockIndex });
        return true;
    }

    private void PutKey(KvEntry entry)
    {
        var found = State.Kv.Find(entry.Key);
        if (found is not null && found.SaysSameAs(entry)) return;
        State = State with { Kv = State.Kv.With(entry with { CreateIndex = found?.CreateIndex ?? Index, ModifyIndex = Index }) };
        topics.Add(Topic.Key(entry.Key));
    }
}
