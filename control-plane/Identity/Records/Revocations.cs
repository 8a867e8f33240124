using System.Collections.Frozen;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Mesh.Api.Identity;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Stores;

namespace Mesh.ControlPlane.Identity.Records;

/// <summary>
/// The identities whose certificates no longer count. They get no new one, their connections end, everywhere, until the revocation is taken back.
/// Thread safe; its owner runs <see cref="RunAsync"/> once.
/// </summary>
internal sealed class Revocations
{
    private const string Folder = "revocations";
    private readonly IAuthorityStore store;
    private readonly TimeProvider time;
    private readonly RecordTable<RevocationRecord> table;
    private volatile FrozenSet<string> identities = FrozenSet<string>.Empty;

    /// <summary>Revocations in a store. Nothing is read yet.</summary>
    public Revocations(IAuthorityStore store, TimeProvider time, Log log)
    {
        (this.store, this.time) = (store, time);
        table = new RecordTable<RevocationRecord>(Folder, store, entry => RecordJson.Read(entry.Content, RecordJson.Default.RevocationRecord), time, log);
        table.Changed += OnRead;
    }

    /// <summary>Raised after the revocations were read again. Handlers only signal.</summary>
    public event Action? Changed;

    /// <summary>All of them.</summary>
    public IEnumerable<RevocationRecord> All => table.Records.Values.OrderBy(record => record.Identity, StringComparer.Ordinal);

    /// <summary>Whether an identity is revoked.</summary>
    public bool Contains(SpiffeId id) => identities.Contains(id.ToString());

    /// <summary>Reads them all; a <see cref="StoreException"/> says why not.</summary>
    public Task LoadAsync(CancellationToken stop) => table.LoadAsync(stop);

    /// <summary>Follows the store until <paramref name="stop"/>.</summary>
    public Task RunAsync(CancellationToken stop) => table.RunAsync(stop);

    /// <summary>Revokes an identity; false when it is revoked already. In force here when it returns.</summary>
    public async Task<bool> AddAsync(SpiffeId id, string reason, string by, CancellationToken stop)
    {
        var record = new RevocationRecord(id.ToString(), reason, by, time.GetUtcNow());
        var isNew = await store.CreateAsync(NameOf(id), JsonSerializer.SerializeToUtf8Bytes(record, RecordJson.Default.RevocationRecord), stop);
        await table.LoadAsync(stop);
        return isNew;
    }

    /// <summary>Takes a revocation back; false when there was none.</summary>
    public async Task<bool> RemoveAsync(SpiffeId id, CancellationToken stop)
    {
        var was = await store.DeleteAsync(NameOf(id), stop);
        await table.LoadAsync(stop);
        return was;
    }

    private void OnRead()
    {
        identities = table.Records.Values.Select(record => record.Identity).ToFrozenSet(StringComparer.Ordinal);
        Changed?.Invoke();
    }

    // An ID may be longer than a name.
    private static string NameOf(SpiffeId id) => $"{Folder}/{Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(id.ToString())))}";
}
