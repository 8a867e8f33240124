using System.Collections.Immutable;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Stores;

namespace Mesh.ControlPlane.Identity.Records;

/// <summary>
/// The entries of one folder of the store, in memory: read at the start, followed from then on, so that what any control plane writes holds for
/// all. Thread safe; its owner runs <see cref="RunAsync"/> once.
/// </summary>
/// <param name="folder">The folder, such as <c>revocations</c>.</param>
/// <param name="store">The store.</param>
/// <param name="read">Makes a record of an entry; a <see cref="FormatException"/> says what is wrong with it.</param>
/// <param name="time">The clock.</param>
/// <param name="log">Where trouble is written.</param>
internal sealed class RecordTable<T>(string folder, IAuthorityStore store, Func<StoredEntry, T> read, TimeProvider time, Log log)
    where T : class
{
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(5);
    private readonly SemaphoreSlim turn = new(1);
    private volatile ImmutableSortedDictionary<string, T> records = ImmutableSortedDictionary.Create<string, T>(StringComparer.Ordinal);
    private bool isAway;
    private bool isLoaded;

    /// <summary>Raised after <see cref="Records"/> was read again. Handlers only signal.</summary>
    public event Action? Changed;

    /// <summary>The records by entry name, as last read.</summary>
    public ImmutableSortedDictionary<string, T> Records => records;

    /// <summary>
    /// Reads all of them now. One that cannot be read is an error at the first time (a <see cref="StoreException"/> names it); later what was known of
    /// it stays, and the others hold: nobody is kept from revoking by a broken entry.
    /// </summary>
    public async Task LoadAsync(CancellationToken stop)
    {
        // In turns: what was read first must not be published last.
        await turn.WaitAsync(stop);
        try
        {
            records = await ReadAsync(stop);
            isLoaded = true;
        }
        finally
        {
            turn.Release();
        }

        Changed?.Invoke();
    }

    /// <summary>Follows the store until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        string? mark = null;
        while (true)
        {
            try
            {
                var next = await store.WaitAsync(folder, mark, stop);
                if (next != mark) await LoadAsync(stop);
                mark = next;
                isAway = false;
            }
            catch (StoreException e)
            {
                if (!isAway) log.Error("records of identity cannot be read; what is known holds on", ("records", folder), ("error", e.Message));
                (isAway, mark) = (true, null);
                await Task.Delay(RetryAfter, time, stop);
            }
        }
    }

    private async Task<ImmutableSortedDictionary<string, T>> ReadAsync(CancellationToken stop)
    {
        var found = ImmutableSortedDictionary.CreateBuilder<string, T>(StringComparer.Ordinal);
        foreach (var entry in await store.ReadAllAsync(folder, Keep, stop))
        {
            try
            {
                found[entry.Name] = Read(entry);
            }
            catch (StoreException e)
            {
                Keep(entry.Name, e);
            }
        }

        return found.ToImmutable();

        void Keep(string name, StoreException reason)
        {
            if (!isLoaded) throw reason;
            log.Error("a record of identity cannot be read; what was known of it holds on", ("entry", name), ("error", reason.Message));
            if (records.TryGetValue(name, out var known)) found[name] = known;
        }
    }

    private T Read(StoredEntry entry)
    {
        try
        {
            return read(entry);
        }
        catch (FormatException e)
        {
            throw new StoreException($"the entry {entry.Name} in {store.Place} cannot be read: {e.Message}", e);
        }
    }
}
