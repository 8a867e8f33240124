using Mesh.ControlPlane.Sources.Registry.Json;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>Carries out the operations of one transaction on a draft and gathers what they answer. Lives inside one change of the store.</summary>
internal sealed class TxnRun(RegistryDraft draft, string datacenter)
{
    public List<TxnResultAnswer> Results { get; } = [];

    public List<TxnErrorAnswer> Errors { get; } = [];

    public static bool Writes(TxnOperation o) =>
        o.KV is not null ? o.KV.Verb is "set" or "cas" or "lock" or "unlock" or "delete" or "delete-cas" or "delete-tree"
        : o.Node is not null ? o.Node.Verb != "get"
        : o.Service is not null ? o.Service.Verb != "get"
        : o.Check is not null && o.Check.Verb != "get";

    /// <summary>What is wrong with an operation whatever the state is.</summary>
    public static string? WrongBefore(TxnOperation o)
    {
        if (o.KV is not null) return null;
        if (o.Node is not null) return string.IsNullOrEmpty(o.Node.Node?.Node) ? "Must provide node" : null;
        if (o.Service is null) return null;
        return !string.IsNullOrEmpty(o.Service.Service?.ID) && string.IsNullOrEmpty(o.Service.Service.Service)
            ? "Must provide service name (Service.Service) when service ID is provided"
            : null;
    }

    public void Each(List<TxnOperation> operations, Func<TxnOperation, string?> step)
    {
        for (var i = 0; i < operations.Count; i++)
        {
            if (step(operations[i]) is { } wrong) Errors.Add(new TxnErrorAnswer(i, wrong));
        }
    }

    public string? Apply(TxnOperation o) =>
        o.KV is not null ? ApplyKv(o.KV)
        : o.Node is not null ? ApplyNode(o.Node.Verb, o.Node.Node ?? new NodeRequest())
        : o.Service is not null ? ApplyService(o.Service.Verb, o.Service.Node ?? "", o.Service.Service ?? new ServiceRequest())
        : o.Check is not null ? ApplyCheck(o.Check.Verb, o.Check.Check ?? new CheckRequest())
        : null;

    private string? ApplyKv(TxnKv o)
    {
        var (key, value, flags, session) = (o.Key ?? "", o.Value ?? [], o.Flags ?? 0, o.Session ?? "");
        if (key.Length == 0 && o.Verb is not ("get-tree" or "delete-tree")) return "Must provide key";
        var entry = draft.State.Kv.Find(key);
        var wrong = o.Verb switch
        {
            "set" => Do(() => draft.SetKey(key, value, flags)),
            "cas" => draft.SetKeyIfIndex(key, value, flags, o.Index ?? 0) ? null : $"failed to set key \"{key}\", index is stale",
            "lock" when !draft.State.Sessions.ContainsKey(session) => $"invalid session \"{session}\"",
            "lock" => draft.Lock(key, value, flags, session) ? null : $"failed to lock key \"{key}\", lock is already held",
            "unlock" => draft.Unlock(key, value, flags, session) ? null : $"failed to unlock key \"{key}\", lock isn't held, or is held by another session",
            "delete" => Do(() => draft.RemoveKey(key)),
            "delete-cas" => draft.RemoveKeyIfIndex(key, o.Index ?? 0) ? null : $"failed to delete key \"{key}\", index is stale",
            "delete-tree" => Do(() => draft.RemoveKeysUnder(key)),
            "get" when entry is null => $"key \"{key}\" doesn't exist",
            "check-index" or "check-session" when entry is null => $"failed to check {o.Verb[6..]}, key \"{key}\" doesn't exist",
            "check-index" when entry.ModifyIndex != (o.Index ?? 0) => $"failed index check for key \"{key}\", current modify index {entry.ModifyIndex} != {o.Index ?? 0}",
            "check-session" when entry.Session != session => $"failed session check for key \"{key}\", current session \"{entry.Session}\" != \"{session}\"",
            "check-not-exists" => entry is null ? null : $"key \"{key}\" exists",
            "get" or "get-or-empty" or "get-tree" or "check-index" or "check-session" => null,
            _ => $"unknown KV verb \"{o.Verb}\"",
        };
        if (wrong is null) AnswerKv(o.Verb!, key);
        return wrong;
    }

    private void AnswerKv(string verb, string key)
    {
        if (verb.StartsWith("delete", StringComparison.Ordinal) || verb == "check-not-exists") return;
        if (verb == "get-tree") Results.AddRange(draft.State.Kv.Under(key).Select(e => new TxnResultAnswer { KV = Answer.Of(e) }));
        else Results.Add(new TxnResultAnswer { KV = Answer.Of(draft.State.Kv.Find(key) ?? new KvEntry(key), withValue: verb is "get" or "get-or-empty") });
    }

    private string? ApplyNode(string? verb, NodeRequest wanted)
    {
        var node = Entry.Of(wanted);
        var isCurrent = (draft.State.Nodes.GetValueOrDefault(node.Name)?.ModifyIndex ?? 0) == (wanted.ModifyIndex ?? 0);
        var exists = draft.State.Nodes.ContainsKey(node.Name);
        var wrong = verb switch
        {
            "get" => exists ? null : $"node \"{node.Name}\" doesn't exist",
            "cas" when !isCurrent => $"failed to set node \"{node.Name}\", index is stale",
            "set" or "cas" => draft.SetNode(node),
            "delete-cas" when !isCurrent || !exists => $"failed to delete node \"{node.Name}\", index is stale",
            "delete" or "delete-cas" when draft.WrongWithRemoving(node.Name, "", "") is { } kept => kept,
            "delete" or "delete-cas" => Do(() => draft.RemoveNode(node.Name)),
            _ => $"unknown Node verb \"{verb}\"",
        };
        if (wrong is null && verb is "get" or "set" or "cas" && draft.State.Nodes.TryGetValue(node.Name, out var now))
            Results.Add(new TxnResultAnswer { Node = Answer.Of(now, datacenter) });
        return wrong;
    }

    private string? ApplyService(string? verb, string nodeName, ServiceRequest wanted)
    {
        var service = Entry.Of(wanted);
        var found = draft.State.Nodes.GetValueOrDefault(nodeName)?.Services.GetValueOrDefault(service.Id);
        var isCurrent = (found?.ModifyIndex ?? 0) == (wanted.ModifyIndex ?? 0);
        var wrong = verb switch
        {
            "get" => found is not null ? null : $"service \"{service.Id}\" on node \"{nodeName}\" doesn't exist",
            "cas" when !isCurrent => $"failed to set service \"{service.Id}\" on node \"{nodeName}\", index is stale",
            "set" or "cas" => draft.SetService(nodeName, service),
            "delete-cas" when !isCurrent || found is null => $"failed to delete service \"{service.Id}\" on node \"{nodeName}\", index is stale",
            "delete" or "delete-cas" => Do(() => draft.RemoveService(nodeName, service.Id)),
            _ => $"unknown Service verb \"{verb}\"",
        };
        if (wrong is null && verb is "get" or "set" or "cas") Results.Add(new TxnResultAnswer { Service = Answer.Of(draft.State.Nodes[nodeName].Services[service.Id]) });
        return wrong;
    }

    private string? ApplyCheck(string? verb, CheckRequest wanted)
    {
        var check = Entry.Of(wanted, node: "");
        var found = draft.State.Nodes.GetValueOrDefault(check.Node)?.Checks.GetValueOrDefault(check.Id);
        var isCurrent = (found?.ModifyIndex ?? 0) == (wanted.ModifyIndex ?? 0);
        var wrong = verb switch
        {
            "get" => found is not null ? null : $"check \"{check.Id}\" on node \"{check.Node}\" doesn't exist",
            "cas" when !isCurrent => $"failed to set check \"{check.Id}\" on node \"{check.Node}\", index is stale",
            "set" or "cas" => draft.SetCheck(check),
            "delete-cas" when !isCurrent || found is null => $"failed to delete check \"{check.Id}\" on node \"{check.Node}\", index is stale",
            "delete" or "delete-cas" when draft.WrongWithRemoving(check.Node, "", check.Id) is { } kept => kept,
            "delete" or "delete-cas" => Do(() => draft.RemoveCheck(check.Node, check.Id)),
            _ => $"unknown Check verb \"{verb}\"",
        };
        if (wrong is null && verb is "get" or "set" or "cas") Results.Add(new TxnResultAnswer { Check = Answer.Of(draft.State.Nodes[check.Node].Checks[check.Id]) });
        return wrong;
    }

    private static string? Do(Action action)
    {
        action();
        return null;
    }
}
