using System.Globalization;
using System.Net;
using Mesh.ControlPlane.Identity.Stores;

namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>
/// Entries as keys of Consul, sealed unless nothing in them is secret: who can read or write Consul but has not the operator's key learns nothing and can put nothing of his own
/// there. What exists once is made with <c>cas=0</c>, which one of any number of control planes wins. Thread safe; owns neither client nor seal.
/// </summary>
/// <param name="client">Where Consul is.</param>
/// <param name="prefix">The keys' beginning, such as <c>mesh/identity/cluster.local/</c>; sealed with each value.</param>
/// <param name="seal">Closes and opens values; null writes them as they are.</param>
internal sealed class ConsulKvStore(ConsulClient client, string prefix, Seal? seal) : IAuthorityStore
{
    /// <summary>The largest value Consul takes, less what sealing adds.</summary>
    private const int MostBytes = (512 * 1024) - 64;

    /// <inheritdoc/>
    public string Place => $"Consul at {client.Address}, keys {prefix}";

    /// <inheritdoc/>
    public async Task<StoredEntry?> ReadAsync(string name, CancellationToken stop)
    {
        // Consistent: what was just made by another control plane must be seen.
        var answer = await Try("read", name, () => client.ReadAsync(PathOf(name, "consistent"), ConsulJson.Default.KvPairArray, stop));
        return answer.Value is [var pair, ..] ? Open(pair) : null;
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<StoredEntry>> ReadAllAsync(string folder, Action<string, StoreException> unreadable, CancellationToken stop)
    {
        var answer = await Try("read", folder, () => client.ReadAsync(PathOf(folder, "recurse", "/"), ConsulJson.Default.KvPairArray, stop));
        var entries = new List<StoredEntry>();
        foreach (var pair in (answer.Value ?? []).OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            try
            {
                entries.Add(Open(pair));
            }
            catch (StoreException e)
            {
                unreadable(pair.Key[prefix.Length..], e);
            }
        }

        return entries;
    }

    /// <inheritdoc/>
    public Task<bool> CreateAsync(string name, ReadOnlyMemory<byte> content, CancellationToken stop) => PutAsync(name, content, "0", stop);

    /// <inheritdoc/>
    public Task<bool> ReplaceAsync(StoredEntry seen, ReadOnlyMemory<byte> content, CancellationToken stop) => PutAsync(seen.Name, content, seen.Version, stop);

    /// <inheritdoc/>
    public async Task<bool> DeleteAsync(string name, CancellationToken stop)
    {
        while (true)
        {
            var answer = await Try("delete", name, () => client.ReadAsync(PathOf(name, "consistent"), ConsulJson.Default.KvPairArray, stop));
            if (answer.Value is not [var pair, ..]) return false;
            if (await Try("delete", name, () => client.DeleteAsync(PathOf(name, $"cas={Version(pair)}"), stop))) return true;
        }
    }

    /// <inheritdoc/>
    public async Task<string> WaitAsync(string folder, string? mark, CancellationToken stop)
    {
        var index = ulong.TryParse(mark, NumberStyles.None, CultureInfo.InvariantCulture, out var seen) ? Math.Max(seen, 1) : 0;
        var answer = await Try("watch", folder, () => client.ReadAsync(PathOf(folder, "keys", "/"), index, ConsulJson.Default.StringArray, stop));
        // An index that went back is of another history: begin anew.
        var now = answer.Index ?? 0;
        return (now < index ? 0 : now).ToString(CultureInfo.InvariantCulture);
    }

    private async Task<bool> PutAsync(string name, ReadOnlyMemory<byte> content, string cas, CancellationToken stop)
    {
        if (content.Length > MostBytes) throw new StoreException($"cannot write {Key(name)}: {content.Length} bytes, and Consul takes {MostBytes}");
        return await Try("write", name, () => client.PutAsync(PathOf(name, $"cas={cas}"), seal is null ? content.ToArray() : seal.Close(Key(name), content.Span), stop));
    }

    private StoredEntry Open(KvPair pair)
    {
        var content = pair.Value ?? [];
        return seal is null || seal.TryOpen(pair.Key, content, out content)
            ? new StoredEntry(pair.Key[prefix.Length..], content, Version(pair))
            : throw new StoreException(
                $"the key {pair.Key} in Consul at {client.Address} cannot be opened: it was sealed with another key than the one of --ca-seal-key-file, or changed since");
    }

    private string Key(string name) => prefix + EntryName.Checked(name);

    private string PathOf(string name, string query, string end = "") => $"/v1/kv/{Key(name)}{end}?{query}";

    private static string Version(KvPair pair) => pair.ModifyIndex.ToString(CultureInfo.InvariantCulture);

    private async Task<T> Try<T>(string verb, string name, Func<Task<T>> act)
    {
        try
        {
            return await act();
        }
        catch (ConsulException e) when (e.Status == HttpStatusCode.Forbidden)
        {
            throw new StoreException($"cannot {verb} {Key(name)}: Consul refuses; the token of this control plane needs key_prefix \"{prefix}\" {{ policy = \"write\" }}", e);
        }
        catch (ConsulException e)
        {
            throw new StoreException($"cannot {verb} {Key(name)}: {e.Message}", e);
        }
    }
}
