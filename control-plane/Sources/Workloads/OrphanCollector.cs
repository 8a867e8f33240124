using Mesh.ControlPlane.Sources.Consul;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>
/// Removes entries that nobody keeps: their control plane is gone, and their workloads have not come back to any within the grace time.
/// One loop. All replicas do this; the index an entry was seen with guards each removal, so whoever comes back first wins.
/// </summary>
internal sealed class OrphanCollector(
    ConsulClient client, WorkloadRegistrations registrations, CatalogWriter catalog, ReplicaSession session, WorkloadContext context)
{
    private readonly Dictionary<(string Node, ulong Index), DateTimeOffset> seen = [];

    /// <summary>Looks for orphans until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        var failing = false;
        while (!stop.IsCancellationRequested)
        {
            try
            {
                await CollectAsync(stop);
                failing = false;
            }
            catch (ConsulException e)
            {
                if (!failing) context.Log.Warn("orphans cannot be looked for", ("error", e.Message));
                failing = true;
            }

            await context.Clock.AboutAsync(context.Options.CollectPeriod, stop);
        }
    }

    private async Task CollectAsync(CancellationToken stop)
    {
        var path = $"/v1/catalog/nodes?node-meta={MeshMeta.ExternalSource}:{MeshMeta.Mesh}";
        var nodes = await client.ReadAsync(path, ConsulJson.Default.ConsulNodeArray, stop);
        var alive = await LiveReplicasAsync(stop);
        if (!session.Held || !alive.Contains(catalog.Owner))
        {
            // Cut off from the registry, or it has forgotten even us: then the silence of others proves nothing, and all grace times begin anew.
            seen.Clear();
            return;
        }

        var now = context.Clock.Time.GetUtcNow();
        var orphans = (nodes.Value ?? []).Where(n => IsOrphan(n, alive)).ToArray();
        foreach (var gone in seen.Keys.Except(orphans.Select(o => (o.Name, o.ModifyIndex))).ToArray()) seen.Remove(gone);
        foreach (var orphan in orphans)
        {
            seen.TryAdd((orphan.Name, orphan.ModifyIndex), now);
            if (now - seen[(orphan.Name, orphan.ModifyIndex)] < context.Options.OrphanGrace) continue;
            var id = orphan.Name[MeshMeta.NodePrefix.Length..];
            if (await catalog.TryDeleteAsync(id, orphan.ModifyIndex, stop))
                context.Events.Collected(id, orphan.Meta!.GetValueOrDefault(MeshMeta.Owner) ?? "");
        }
    }

    private bool IsOrphan(ConsulNode node, HashSet<string> alive)
    {
        // Asked again here: not every registry filters by node-meta.
        if (!MeshMeta.IsOurs(node.Meta) || !node.Name.StartsWith(MeshMeta.NodePrefix, StringComparison.Ordinal)) return false;
        var owner = node.Meta!.GetValueOrDefault(MeshMeta.Owner) ?? "";
        return owner == catalog.Owner ? registrations.Desired(node.Name[MeshMeta.NodePrefix.Length..]) is null : !alive.Contains(owner);
    }

    private async Task<HashSet<string>> LiveReplicasAsync(CancellationToken stop)
    {
        var keys = await client.ReadAsync($"/v1/kv/{MeshMeta.ReplicaKeys}?recurse", ConsulJson.Default.KvPairArray, stop);
        return (keys.Value ?? [])
            .Where(k => !string.IsNullOrEmpty(k.Session))
            .Select(k => k.Key[MeshMeta.ReplicaKeys.Length..])
            .ToHashSet(StringComparer.Ordinal);
    }
}
