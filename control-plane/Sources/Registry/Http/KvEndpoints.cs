using Mesh.ControlPlane.Sources.Registry.Json;
using Mesh.ControlPlane.Sources.Registry.Store;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>/v1/kv: keys and locks. A write is answered once it is on disk. Thread safe.</summary>
internal sealed class KvEndpoints(RegistryContext registry)
{
    public const int MaxValue = 512 * 1024;

    public IEnumerable<Endpoint> All => [new("/v1/kv/", "GET,PUT,DELETE", AnswerAsync)];

    private Task AnswerAsync(RegistryRequest request) => request.Method switch
    {
        "PUT" => PutAsync(request),
        "DELETE" => DeleteAsync(request),
        _ when request.Has("keys") => KeysAsync(request),
        _ when request.Has("recurse") => TreeAsync(request),
        _ => GetAsync(request),
    };

    private async Task GetAsync(RegistryRequest request)
    {
        var key = request.RequireName("key name");
        var state = await registry.Queries.ReadAsync(request, new Watched(Topic.Key(key), s => s.Kv.Find(key)?.ModifyIndex ?? s.Kv.Index));
        if (state.Kv.Find(key) is not { } entry) request.AnswerEmpty(404);
        else if (request.Has("raw")) await request.AnswerBytesAsync(entry.Value);
        else await request.AnswerAsync([Answer.Of(entry)], RegistryJson.Default.IReadOnlyListKvAnswer);
    }

    private async Task TreeAsync(RegistryRequest request)
    {
        var state = await ReadPrefixAsync(request);
        var entries = state.Kv.Under(request.Name).Select(e => Answer.Of(e)).ToArray();
        if (entries.Length == 0) request.AnswerEmpty(404);
        else await request.AnswerAsync(entries, RegistryJson.Default.IReadOnlyListKvAnswer);
    }

    private async Task KeysAsync(RegistryRequest request)
    {
        var state = await ReadPrefixAsync(request);
        var separator = request.Query["separator"].ToString();
        var keys = state.Kv.Under(request.Name).Select(e => UpTo(e.Key, separator, request.Name.Length)).Distinct(StringComparer.Ordinal).ToArray();
        if (keys.Length == 0) request.AnswerEmpty(404);
        else await request.AnswerAsync(keys, RegistryJson.Default.IReadOnlyListString);
    }

    private Task<RegistryState> ReadPrefixAsync(RegistryRequest request) =>
        registry.Queries.ReadAsync(request, new Watched(Topic.KeyPrefix(request.Name), s => s.Kv.IndexUnder(request.Name)));

    private async Task PutAsync(RegistryRequest request)
    {
        var key = request.RequireName("key name");
        RefuseTogether(request.Query, "acquire", "release");
        RefuseTogether(request.Query, "acquire", "cas");
        RefuseTogether(request.Query, "release", "cas");
        var (flags, cas) = (request.Number("flags") ?? 0, request.Number("cas"));
        var (acquire, release) = (request.Query["acquire"].ToString(), request.Query["release"].ToString());
        var value = await request.ReadBodyAsync(MaxValue);
        var done = registry.Store.Change(draft =>
        {
            if (acquire.Length > 0) return draft.State.Sessions.ContainsKey(acquire) ? draft.Lock(key, value, flags, acquire) : null;
            if (release.Length > 0) return draft.Unlock(key, value, flags, release);
            if (cas is { } index) return draft.SetKeyIfIndex(key, value, flags, index);
            draft.SetKey(key, value, flags);
            return (bool?)true;
        });
        await registry.SavedAsync();
        await request.AnswerBoolAsync(done ?? throw new Refusal(500, $"raft apply failed: invalid session \"{acquire}\""));
    }

    private async Task DeleteAsync(RegistryRequest request)
    {
        RefuseTogether(request.Query, "cas", "recurse");
        var recurse = request.Has("recurse");
        var key = recurse ? request.Name : request.RequireName("key name");
        var cas = request.Number("cas");
        var done = registry.Store.Change(draft =>
        {
            if (recurse) draft.RemoveKeysUnder(key);
            else if (cas is { } index) return draft.RemoveKeyIfIndex(key, index);
            else draft.RemoveKey(key);
            return true;
        });
        await registry.SavedAsync();
        await request.AnswerBoolAsync(done);
    }

    private static void RefuseTogether(IQueryCollection query, string one, string other)
    {
        if (query.ContainsKey(one) && query.ContainsKey(other)) throw new Refusal(400, $"Conflicting flags: {one}={query[one]}&{other}={query[other]}");
    }

    private static string UpTo(string key, string separator, int from)
    {
        var at = separator.Length == 0 ? -1 : key.IndexOf(separator, from, StringComparison.Ordinal);
        return at < 0 ? key : key[..(at + separator.Length)];
    }
}
