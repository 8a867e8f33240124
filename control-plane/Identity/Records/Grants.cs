using System.Collections.Immutable;
using System.Text.Json;
using Mesh.Api.Identity;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Stores;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Identity.Records;

/// <summary>What consumed join tokens allow their identities, all tokens of one identity together. Thread safe; its owner runs <see cref="RunAsync"/> once.</summary>
internal sealed class Grants
{
    private const string Folder = "grants";
    private const int MostItems = 256;
    private readonly IAuthorityStore store;
    private readonly RecordTable<GrantRecord> table;

    /// <summary>Grants in a store. Nothing is read yet.</summary>
    public Grants(IAuthorityStore store, TimeProvider time, Log log)
    {
        this.store = store;
        table = new RecordTable<GrantRecord>(Folder, store, entry => RecordJson.Read(entry.Content, RecordJson.Default.GrantRecord), time, log);
        table.Changed += () => Changed?.Invoke();
    }

    /// <summary>Raised when <see cref="Current"/> was read again. Handlers only signal.</summary>
    public event Action? Changed;

    /// <summary>All grants, sorted by identity.</summary>
    public ImmutableArray<Grant> Current => [.. table.Records.Values.Select(Of).OrderBy(grant => grant.Identity, StringComparer.Ordinal)];

    /// <summary>Reads them all; a <see cref="StoreException"/> says why not.</summary>
    public Task LoadAsync(CancellationToken stop) => table.LoadAsync(stop);

    /// <summary>Follows the store until <paramref name="stop"/>.</summary>
    public Task RunAsync(CancellationToken stop) => table.RunAsync(stop);

    /// <summary>Adds to what an identity is allowed. Known here when it returns, and to other control planes soon after.</summary>
    public async Task AddAsync(SpiffeId identity, ImmutableArray<string> serves, ImmutableArray<string> addresses, CancellationToken stop)
    {
        if (serves.IsEmpty && addresses.IsEmpty) return;
        var name = NameOf(identity);
        while (true)
        {
            var seen = await store.ReadAsync(name, stop);
            var old = seen is null ? new GrantRecord(identity.ToString(), [], []) : RecordJson.Read(seen.Content, RecordJson.Default.GrantRecord);
            var all = old with { Serves = Union(old.Serves, serves), Addresses = Union(old.Addresses, addresses) };
            if (all.Serves.Length > MostItems || all.Addresses.Length > MostItems)
                throw new StoreException($"{identity} was granted more than {MostItems} services or addresses by its tokens: name who serves what in a ServiceIdentity rule instead");
            var json = JsonSerializer.SerializeToUtf8Bytes(all, RecordJson.Default.GrantRecord);
            if (seen is null ? await store.CreateAsync(name, json, stop) : await store.ReplaceAsync(seen, json, stop)) break;
        }

        await table.LoadAsync(stop);
    }

    private static string NameOf(SpiffeId identity) => $"{Folder}/{identity.Namespace}/{identity.Account}";

    private static ImmutableArray<string> Union(ImmutableArray<string> one, ImmutableArray<string> other) =>
        [.. one.Union(other, StringComparer.Ordinal).Order(StringComparer.Ordinal)];

    private static Grant Of(GrantRecord record) =>
        new(record.Identity, [.. record.Serves.Select(name => new ServiceName(SpiffeId.Parse(record.Identity).Namespace!, name))], record.Addresses);
}
