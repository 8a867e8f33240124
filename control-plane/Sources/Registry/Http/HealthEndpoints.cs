using Mesh.ControlPlane.Sources.Registry.Json;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>/v1/health: what is registered and how it is. Thread safe.</summary>
internal sealed class HealthEndpoints(RegistryContext registry)
{
    public IEnumerable<Endpoint> All =>
    [
        new("/v1/health/service/", "GET", ServiceAsync),
        new("/v1/health/node/", "GET", NodeAsync),
        new("/v1/health/checks/", "GET", ChecksAsync),
        new("/v1/health/state/", "GET", StateAsync),
    ];

    private async Task ServiceAsync(RegistryRequest request)
    {
        var name = request.RequireName("service name");
        var filter = new InstanceFilter(request.Query);
        var onlyPassing = WantsPassing(request);
        var state = await registry.Queries.ReadAsync(request, new Watched(Topic.Service(name), s => s.IndexOfService(name)));
        var answer = new List<HealthAnswer>();
        foreach (var (node, service) in state.InstancesOf(name).Where(i => filter.Takes(i.Node, i.Service)))
        {
            if (onlyPassing && node.ChecksOf(service.Id).Any(c => c.Status != CheckStatus.Passing)) continue;
            answer.Add(new HealthAnswer(Answer.Of(node, registry.Datacenter), Answer.Of(service), [.. node.ChecksOf(service.Id).Select(Answer.Of)]));
        }

        await request.AnswerAsync(answer, RegistryJson.Default.IReadOnlyListHealthAnswer);
    }

    private Task NodeAsync(RegistryRequest request)
    {
        var name = request.RequireName("node name");
        return AnswerChecksAsync(request, s => s.Nodes.TryGetValue(name, out var node) ? node.Checks.Values : []);
    }

    private Task ChecksAsync(RegistryRequest request)
    {
        var name = request.RequireName("service name");
        var filter = new InstanceFilter(request.Query);
        return AnswerChecksAsync(request, s => s.InstancesOf(name).Where(i => filter.TakesNode(i.Node)).SelectMany(i => i.Node.ChecksOnlyOf(i.Service.Id)));
    }

    private Task StateAsync(RegistryRequest request)
    {
        var status = request.RequireName("check state");
        var filter = new InstanceFilter(request.Query);
        return AnswerChecksAsync(
            request, s => s.Nodes.Values.Where(filter.TakesNode).SelectMany(n => n.Checks.Values).Where(c => status == "any" || c.Status == status));
    }

    /// <summary>Answers lists of checks: all of them move with the index of the table of checks, as in Consul.</summary>
    private async Task AnswerChecksAsync(RegistryRequest request, Func<RegistryState, IEnumerable<CheckEntry>> choose)
    {
        var state = await registry.Queries.ReadAsync(request, new Watched(Topic.Checks, s => s.ChecksIndex));
        await request.AnswerAsync([.. choose(state).Select(Answer.Of)], RegistryJson.Default.IReadOnlyListCheckAnswer);
    }

    private static bool WantsPassing(RegistryRequest request)
    {
        if (!request.Query.TryGetValue("passing", out var value)) return false;
        return value.ToString() switch
        {
            "" or "1" or "t" or "T" or "true" or "TRUE" or "True" => true,
            "0" or "f" or "F" or "false" or "FALSE" or "False" => false,
            _ => throw new Refusal(400, "Invalid value for ?passing"),
        };
    }
}
