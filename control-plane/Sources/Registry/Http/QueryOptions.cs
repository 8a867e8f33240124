using System.Globalization;
using Mesh.ControlPlane.Sources.Registry.Json;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>The options every read of Consul's API takes. Immutable.</summary>
internal sealed record QueryOptions(ulong Index, TimeSpan Wait, string Consistency)
{
    public static readonly TimeSpan DefaultWait = TimeSpan.FromMinutes(5);
    public static readonly TimeSpan MaxWait = TimeSpan.FromMinutes(10);

    public static QueryOptions Parse(IQueryCollection query)
    {
        if (query.ContainsKey("stale") && query.ContainsKey("consistent"))
            throw new Refusal(400, "Cannot specify ?stale with ?consistent, conflicting semantics.");
        if (query.ContainsKey("cached") && query.ContainsKey("consistent"))
            throw new Refusal(400, "Cannot specify ?cached with ?consistent, conflicting semantics.");
        var consistency = query.ContainsKey("stale") ? "stale" : query.ContainsKey("consistent") ? "consistent" : "leader";
        return new QueryOptions(ParseIndex(query["index"]), ParseWait(query["wait"]), consistency);
    }

    private static ulong ParseIndex(string? text)
    {
        if (string.IsNullOrEmpty(text)) return 0;
        return ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var index) ? index : throw new Refusal(400, "Invalid index");
    }

    private static TimeSpan ParseWait(string? text)
    {
        if (string.IsNullOrEmpty(text)) return DefaultWait;
        if (!GoDuration.TryParse(text, out var wait) || wait < TimeSpan.Zero) throw new Refusal(400, "Invalid wait time");
        return wait == TimeSpan.Zero ? DefaultWait : wait > MaxWait ? MaxWait : wait;
    }
}
