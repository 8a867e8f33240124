using Mesh.ControlPlane.Sources.Registry.Json;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>/v1/txn: many operations on keys, nodes, services and checks, all done or none. Thread safe.</summary>
internal sealed class TxnEndpoint(RegistryContext registry)
{
    private const int MaxOperations = 128;

    public IEnumerable<Endpoint> All => [new("/v1/txn", "PUT", AnswerAsync)];

    private async Task AnswerAsync(RegistryRequest request)
    {
        var operations = await request.ReadJsonAsync(RegistryJson.Default.ListTxnOperation, "Failed to parse body");
        if (operations.Count > MaxOperations) throw new Refusal(413, $"Transaction contains too many operations ({operations.Count} > {MaxOperations})");
        foreach (var operation in operations)
        {
            if (operation.Node?.Node is { } node) Served.Require(node);
            if (operation.Service?.Service is { } service) Served.Require(service);
            if (operation.Check?.Check is { } check) Served.Require(check);
            if (operation.KV?.Value is { Length: > KvEndpoints.MaxValue }) throw new Refusal(413, $"Value for key \"{operation.KV.Key}\" is too large, max size: {KvEndpoints.MaxValue} bytes");
        }

        var answer = registry.Store.Change(draft => Run(draft, operations));
        if (operations.Exists(o => o.KV is not null)) await registry.SavedAsync();
        await request.AnswerAsync(answer, RegistryJson.Default.TxnAnswer, answer.Errors is null ? 200 : 409);
    }

    /// <summary>Every operation sees what those before it did; all that fail are reported.</summary>
    private TxnAnswer Run(RegistryDraft draft, List<TxnOperation> operations)
    {
        var run = new TxnRun(draft, registry.Datacenter);
        if (operations.Exists(TxnRun.Writes)) run.Each(operations, TxnRun.WrongBefore);
        if (run.Errors.Count == 0) run.Each(operations, run.Apply);
        if (run.Errors.Count == 0) return new TxnAnswer(run.Results, null);
        draft.Reject();
        return new TxnAnswer(null, run.Errors);
    }
}
