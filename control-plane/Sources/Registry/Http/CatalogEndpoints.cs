using Mesh.ControlPlane.Sources.Registry.Json;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>/v1/catalog: what is registered. Thread safe.</summary>
internal sealed class CatalogEndpoints(RegistryContext registry)
{
    public IEnumerable<Endpoint> All =>
    [
        new("/v1/catalog/services", "GET", ServicesAsync),
        new("/v1/catalog/service/", "GET", ServiceAsync),
        new("/v1/catalog/nodes", "GET", NodesAsync),
        new("/v1/catalog/node/", "GET", NodeAsync),
        new("/v1/catalog/datacenters", "GET", r => r.AnswerAsync([registry.Datacenter], RegistryJson.Default.IReadOnlyListString)),
        new("/v1/catalog/register", "PUT", RegisterAsync),
        new("/v1/catalog/deregister", "PUT", DeregisterAsync),
    ];

    private async Task ServicesAsync(RegistryRequest request)
    {
        var filter = new InstanceFilter(request.Query);
        var state = await registry.Queries.ReadAsync(request, new Watched(Topic.Services, s => s.ServicesIndex));
        var answer = new Dictionary<string, IReadOnlyList<string>>(state.Services.Count, StringComparer.Ordinal);
        foreach (var (name, service) in state.Services)
        {
            if (filter.TakesAllNodes) answer[name] = service.TagsIn(state);
            else if (state.InstancesOf(name).Where(i => filter.TakesNode(i.Node)).ToArray() is { Length: > 0 } some)
                answer[name] = [.. some.SelectMany(i => i.Service.Tags).Distinct(StringComparer.Ordinal)];
        }

        await request.AnswerAsync(answer, RegistryJson.Default.IReadOnlyDictionaryStringIReadOnlyListString);
    }

    private async Task ServiceAsync(RegistryRequest request)
    {
        var name = request.RequireName("service name");
        var filter = new InstanceFilter(request.Query);
        var state = await registry.Queries.ReadAsync(request, new Watched(Topic.Service(name), s => s.IndexOfService(name)));
        var instances = state.InstancesOf(name).Where(i => filter.Takes(i.Node, i.Service));
        await request.AnswerAsync([.. instances.Select(i => Answer.Of(i.Node, i.Service, registry.Datacenter))], RegistryJson.Default.IReadOnlyListInstanceAnswer);
    }

    private async Task NodesAsync(RegistryRequest request)
    {
        var filter = new InstanceFilter(request.Query);
        var state = await registry.Queries.ReadAsync(request, new Watched(Topic.Nodes, s => s.NodesIndex));
        var nodes = state.Nodes.Values.Where(filter.TakesNode);
        await request.AnswerAsync([.. nodes.Select(n => Answer.Of(n, registry.Datacenter))], RegistryJson.Default.IReadOnlyListNodeAnswer);
    }

    private async Task NodeAsync(RegistryRequest request)
    {
        var name = request.RequireName("node name");
        var state = await registry.Queries.ReadAsync(request, new Watched(Topic.Node(name), s => s.IndexOfNode(name)));
        var node = state.Nodes.GetValueOrDefault(name);
        var answer = node is null
            ? null
            : new NodeServicesAnswer(
                Answer.Of(node, registry.Datacenter), node.Services.ToDictionary(s => s.Key, s => Answer.Of(s.Value), StringComparer.Ordinal));
        await request.AnswerAsync(answer!, RegistryJson.Default.NodeServicesAnswer);
    }

    private async Task RegisterAsync(RegistryRequest request)
    {
        var wanted = await request.ReadJsonAsync(RegistryJson.Default.RegisterRequest);
        RequireDatacenter(wanted.Datacenter);
        Served.Require(wanted);
        var wrong = registry.Store.Change(draft => Register(draft, wanted));
        if (wrong is not null) throw new Refusal(500, wrong);
        await request.AnswerBoolAsync(true);
    }

    private async Task DeregisterAsync(RegistryRequest request)
    {
        var wanted = await request.ReadJsonAsync(RegistryJson.Default.DeregisterRequest);
        RequireDatacenter(wanted.Datacenter);
        if (string.IsNullOrEmpty(wanted.Node)) throw new Refusal(500, "Must provide node");
        var wrong = registry.Store.Change(draft => Deregister(draft, wanted, wanted.Node));
        if (wrong is not null) throw new Refusal(403, wrong);
        await request.AnswerBoolAsync(true);
    }

    private static string? Register(RegistryDraft draft, RegisterRequest wanted)
    {
        var wrong = RegisterParts(draft, wanted);
        if (wrong is not null) draft.Reject();
        return wrong;
    }

    private static string? RegisterParts(RegistryDraft draft, RegisterRequest wanted)
    {
        var node = Entry.Of(wanted);
        if (node.Name.Length == 0) return "Must provide node";
        var keepsNode = wanted.SkipNodeUpdate == true && draft.State.Nodes.ContainsKey(node.Name);
        if (node.Address.Length == 0 && wanted.SkipNodeUpdate != true) return "Must provide address if SkipNodeUpdate is not set";
        if (!keepsNode && draft.SetNode(node) is { } nodeWrong) return nodeWrong;
        if (wanted.Service is { } service)
        {
            if (!string.IsNullOrEmpty(service.ID) && string.IsNullOrEmpty(service.Service))
                return "Must provide service name (Service.Service) when service ID is provided";
            if (draft.SetService(node.Name, Entry.Of(service)) is { } serviceWrong) return serviceWrong;
        }

        CheckRequest[] checks = [.. wanted.Checks ?? [], .. wanted.Check is null ? [] : (CheckRequest[])[wanted.Check]];
        return checks.Select(c => SetCheck(draft, Entry.Of(c, node.Name), node.Name)).FirstOrDefault(w => w is not null);
    }

    private static string? SetCheck(RegistryDraft draft, CheckEntry check, string node)
    {
        if (!check.Node.Equals(node, StringComparison.OrdinalIgnoreCase))
            return $"Node '{check.Node}' for check '{check.Id}' doesn't match register request node '{node}'";
        if (check.ServiceId.Length > 0 && !draft.State.Nodes[node].Services.ContainsKey(check.ServiceId))
            return $"Unknown service ID '{check.ServiceId}' for check ID '{check.Id}'";
        return draft.SetCheck(check);
    }

    private static string? Deregister(RegistryDraft draft, DeregisterRequest wanted, string node)
    {
        if (draft.WrongWithRemoving(node, wanted.ServiceID ?? "", wanted.CheckID ?? "") is { } wrong) return wrong;
        if (!string.IsNullOrEmpty(wanted.ServiceID)) draft.RemoveService(node, wanted.ServiceID);
        else if (!string.IsNullOrEmpty(wanted.CheckID)) draft.RemoveCheck(node, wanted.CheckID);
        else draft.RemoveNode(node);
        return null;
    }

    private void RequireDatacenter(string? datacenter)
    {
        if (!string.IsNullOrEmpty(datacenter) && datacenter != registry.Datacenter) throw new Refusal(500, "No path to datacenter");
    }
}
