using System.Collections.Concurrent;
using System.Text.Json;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Identity.Issuing;
using Mesh.ControlPlane.Identity.Stores;

namespace Mesh.ControlPlane.Identity.Records;

/// <summary>
/// Who holds which certificate: for each holder the newest one, from any control plane of the store, so that a change of roots knows whom to wait
/// for. Issuing does not wait for the store: what was issued is written by one loop, again and again until it is there. Thread safe; its owner
/// runs <see cref="RunAsync"/> once.
/// </summary>
internal sealed class Holders(IAuthorityStore store, TimeProvider time, Log log)
{
    private const string Folder = "issued";
    private const int MostPending = 100_000;
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Farewell = TimeSpan.FromSeconds(2);
    // Null: to be forgotten.
    private readonly ConcurrentDictionary<string, IssuedRecord?> pending = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim wake = new(0);
    private bool isAway;

    /// <summary>A certificate was issued.</summary>
    public void Note(IssuedCertificate issued, Credential credential, string peer)
    {
        // Beyond the bound only a change of roots is told less than it could be.
        if (pending.Count >= MostPending) return;
        pending[credential.Holder.Id] = new IssuedRecord(credential.Holder.Id, credential.Id.ToString(), issued.Leaf.SerialNumber.ToLowerInvariant(), issued.RootId)
        {
            Bundle = issued.Bundle.Fingerprint,
            IssuedAt = time.GetUtcNow(),
            NotBefore = new DateTimeOffset(issued.Leaf.NotBefore.ToUniversalTime(), TimeSpan.Zero),
            NotAfter = issued.NotAfter,
            By = credential.By,
            Peer = peer,
        };
        wake.Release();
    }

    /// <summary>A holder has left: its certificate went with it.</summary>
    public void Forget(string holder)
    {
        if (pending.Count >= MostPending) return;
        pending[holder] = null;
        wake.Release();
    }

    /// <summary>The newest certificate of each holder that has not ended, by identity, the newest first.</summary>
    public async Task<IReadOnlyList<IssuedRecord>> ReadAsync(CancellationToken stop)
    {
        var now = time.GetUtcNow();
        var all = new Dictionary<string, IssuedRecord>(StringComparer.Ordinal);
        // What waits to be written is looked at before the store is read, too: it may be written, and wait no longer, just after the store was read.
        var before = pending.ToArray();
        foreach (var entry in await store.ReadAllAsync(Folder, Skip, stop))
        {
            if (Read(entry) is { } record) all[record.Holder] = record;
        }

        foreach (var (holder, record) in before.Concat(pending))
        {
            if (record is null) all.Remove(holder);
            else all[holder] = record;
        }

        return [.. all.Values.Where(record => record.NotAfter > now).OrderBy(record => record.Identity, StringComparer.Ordinal).ThenByDescending(record => record.IssuedAt)];
    }

    /// <summary>Writes what was issued, until <paramref name="stop"/>; then what is left, for a moment.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        try
        {
            while (true)
            {
                await wake.WaitAsync(stop);
                await TryWriteAsync(stop);
                if (isAway) await Task.Delay(RetryAfter, time, stop);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            using var limit = new CancellationTokenSource(Farewell, time);
            await TryWriteAsync(limit.Token);
        }
    }

    /// <summary>Forgets certificates that have ended.</summary>
    public async Task SweepAsync(CancellationToken stop)
    {
        var now = time.GetUtcNow();
        foreach (var entry in await store.ReadAllAsync(Folder, Skip, stop))
        {
            if (Read(entry) is not { } record || record.NotAfter <= now) await store.DeleteAsync(entry.Name, stop);
        }
    }

    private async Task TryWriteAsync(CancellationToken stop)
    {
        try
        {
            foreach (var (holder, record) in pending)
            {
                if (record is null) await store.DeleteAsync($"{Folder}/{holder}", stop);
                else await WriteAsync(record, stop);
                // Another one may have been issued meanwhile: that is still to be written.
                pending.TryRemove(new KeyValuePair<string, IssuedRecord?>(holder, record));
            }

            isAway = false;
        }
        catch (StoreException e)
        {
            if (!isAway) log.Warn("who holds which certificate cannot be written down; that is tried again", ("error", e.Message));
            isAway = true;
            wake.Release();
        }
    }

    private async Task WriteAsync(IssuedRecord record, CancellationToken stop)
    {
        var name = $"{Folder}/{record.Holder}";
        var json = JsonSerializer.SerializeToUtf8Bytes(record, RecordJson.Default.IssuedRecord);
        while (!await store.CreateAsync(name, json, stop))
        {
            if (await store.ReadAsync(name, stop) is { } seen && await store.ReplaceAsync(seen, json, stop)) return;
        }
    }

    private IssuedRecord? Read(StoredEntry entry)
    {
        try
        {
            return RecordJson.Read(entry.Content, RecordJson.Default.IssuedRecord);
        }
        catch (FormatException e)
        {
            Skip(entry.Name, new StoreException(e.Message, e));
            return null;
        }
    }

    private void Skip(string name, StoreException reason) =>
        log.Warn("a record of an issued certificate cannot be read and is left out", ("entry", name), ("error", reason.Message));
}
