using System.Security.Cryptography;
using System.Text.Json;
using Mesh.ControlPlane.Sources.Registry.Json;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>/v1/agent/service(s): services that register themselves here, with the checks the registry runs for them. Thread safe.</summary>
internal sealed class AgentServiceEndpoints(RegistryContext registry)
{
    private const int HashLength = 16;

    public IEnumerable<Endpoint> All =>
    [
        new("/v1/agent/services", "GET", ServicesAsync),
        new("/v1/agent/service/", "GET", ServiceAsync),
        new("/v1/agent/service/register", "PUT", RegisterAsync),
        new("/v1/agent/service/deregister/", "PUT", DeregisterAsync),
    ];

    private Task ServicesAsync(RegistryRequest request)
    {
        var state = registry.Store.Current;
        var services = state.AgentServices.ToDictionary(id => id, id => Find(state, id)!, StringComparer.Ordinal);
        return request.AnswerAsync(services, RegistryJson.Default.IReadOnlyDictionaryStringAgentServiceAnswer);
    }

    /// <summary>A read that blocks by the hash of its content instead of an index.</summary>
    private async Task ServiceAsync(RegistryRequest request)
    {
        var (id, hash) = (request.Name, request.Query["hash"].ToString());
        var wait = QueryOptions.Parse(request.Query).Wait;
        var state = registry.Store.Current;
        if (hash.Length > 0 && Find(state, id) is not null)
            state = await registry.Queries.WaitAsync(Topic.Node(state.AgentNode), s => Find(s, id) is not { } f || HashOf(f) != hash, wait, request.Aborted);
        if (Find(state, id) is not { } found) throw new Refusal(404, $"unknown service ID: {id}");
        request.SetHeader("X-Consul-ContentHash", HashOf(found));
        await request.AnswerAsync(found with { ContentHash = HashOf(found) }, RegistryJson.Default.AgentServiceAnswer);
    }

    private async Task RegisterAsync(RegistryRequest request)
    {
        var wanted = await request.ReadJsonAsync(RegistryJson.Default.AgentServiceRegistration);
        if (string.IsNullOrEmpty(wanted.Name)) throw new Refusal(400, "Missing service name");
        Served.Require(wanted);
        var service = AgentRegistration.ServiceOf(wanted);
        var checks = AgentRegistration.ChecksOf(wanted, service);
        var replaces = request.Has("replace-existing-checks");
        var wrong = registry.Store.Change(draft => Register(draft, service, checks, replaces));
        if (wrong is not null) throw new Refusal(500, wrong);
        request.AnswerEmpty(200);
    }

    private Task DeregisterAsync(RegistryRequest request)
    {
        var id = request.Name;
        var isKnown = registry.Store.Change(draft =>
        {
            if (!draft.State.AgentServices.Contains(id)) return false;
            draft.RemoveService(draft.State.AgentNode, id);
            return true;
        });
        if (!isKnown) throw new Refusal(404, $"Unknown service ID \"{id}\". Ensure that the service ID is passed, not the service name.");
        request.AnswerEmpty(200);
        return Task.CompletedTask;
    }

    private static string? Register(RegistryDraft draft, ServiceEntry service, IReadOnlyList<AgentCheck> checks, bool replaces)
    {
        var node = draft.State.AgentNode;
        var wrong = draft.SetService(node, service);
        draft.OwnService(service.Id);
        if (replaces)
        {
            var kept = checks.Select(c => c.Entry.Id).ToHashSet(StringComparer.Ordinal);
            foreach (var old in draft.State.Nodes[node].ChecksOnlyOf(service.Id).Where(c => !kept.Contains(c.Id)).ToArray()) draft.RemoveCheck(node, old.Id);
        }

        foreach (var check in checks) wrong ??= AgentRegistration.Apply(draft, check);
        if (wrong is not null) draft.Reject();
        return wrong;
    }

    private AgentServiceAnswer? Find(RegistryState state, string id) =>
        state.AgentServices.Contains(id) ? Answer.OfAgent(state.Nodes[state.AgentNode].Services[id], registry.Datacenter) : null;

    private static string HashOf(AgentServiceAnswer service) =>
        Convert.ToHexStringLower(SHA256.HashData(JsonSerializer.SerializeToUtf8Bytes(service, RegistryJson.Default.AgentServiceAnswer)))[..HashLength];
}
