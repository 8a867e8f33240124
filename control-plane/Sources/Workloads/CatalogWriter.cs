using Mesh.ControlPlane.Sources.Consul;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>
/// Reads, writes and removes entries of the catalog, each all or nothing and only over what was seen before. Thread safe; bounds how many
/// calls run at once. Throws <see cref="ConsulException"/> when the registry does not do its part.
/// </summary>
internal sealed class CatalogWriter(ConsulClient client, string owner, int maxWrites) : IDisposable
{
    private readonly SemaphoreSlim turns = new(maxWrites);

    /// <summary>The name by which this control plane owns entries.</summary>
    public string Owner => owner;

    /// <summary>What the catalog holds about a workload.</summary>
    public async Task<CatalogEntry> ReadAsync(string id, CancellationToken stop)
    {
        var operations = CatalogEntry.Read(id);
        // What does not exist fails the whole transaction; the errors say which, and the rest is read again.
        for (var left = operations.Length; left > 0; left = operations.Length)
        {
            var answer = await TransactAsync(operations, stop);
            if (answer.Succeeded) return CatalogEntry.Of(answer.Results);
            var absent = answer.Errors!.Select(e => e.OpIndex).ToHashSet();
            operations = [.. operations.Where((_, i) => !absent.Contains(i))];
            if (operations.Length == left) throw new ConsulException(HttpMethod.Put, "/v1/txn", WordsOf(answer));
        }

        return CatalogEntry.Absent;
    }

    /// <summary>Writes an entry over <paramref name="before"/>; null and the registry's words when that is no longer what is there.</summary>
    public async Task<(CatalogEntry? Written, string Words)> TryWriteAsync(DesiredEntry desired, CatalogEntry before, CancellationToken stop)
    {
        var answer = await TransactAsync(CatalogEntry.Write(desired, owner, before), stop);
        return answer.Succeeded ? (CatalogEntry.Of(answer.Results), "") : (null, WordsOf(answer));
    }

    /// <summary>Removes an entry if its node still has this index.</summary>
    public async Task<bool> TryDeleteAsync(string id, ulong nodeIndex, CancellationToken stop) =>
        (await TransactAsync(CatalogEntry.Delete(id, nodeIndex), stop)).Succeeded;

    public void Dispose() => turns.Dispose();

    private async Task<TxnAnswer> TransactAsync(TxnOp[] operations, CancellationToken stop)
    {
        await turns.WaitAsync(stop);
        try
        {
            return await client.TransactAsync(operations, stop);
        }
        finally
        {
            turns.Release();
        }
    }

    private static string WordsOf(TxnAnswer answer) => string.Join("; ", (answer.Errors ?? []).Select(e => e.What));
}
