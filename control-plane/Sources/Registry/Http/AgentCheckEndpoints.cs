using Mesh.ControlPlane.Sources.Registry.Checks;
using Mesh.ControlPlane.Sources.Registry.Json;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>/v1/agent/check(s): the checks the registry runs, and reports on those with a time to live. Thread safe.</summary>
internal sealed class AgentCheckEndpoints(RegistryContext registry)
{
    public IEnumerable<Endpoint> All =>
    [
        new("/v1/agent/checks", "GET", ChecksAsync),
        new("/v1/agent/check/register", "PUT", RegisterAsync),
        new("/v1/agent/check/deregister/", "PUT", DeregisterAsync),
        new("/v1/agent/check/pass/", "PUT", r => ReportAsync(r, CheckStatus.Passing)),
        new("/v1/agent/check/warn/", "PUT", r => ReportAsync(r, CheckStatus.Warning)),
        new("/v1/agent/check/fail/", "PUT", r => ReportAsync(r, CheckStatus.Critical)),
        new("/v1/agent/check/update/", "PUT", UpdateAsync),
    ];

    private Task ChecksAsync(RegistryRequest request)
    {
        var state = registry.Store.Current;
        var checks = state.Nodes[state.AgentNode].Checks;
        // The agent's own view has no indexes: those belong to the catalog.
        var answer = state.AgentChecks.Keys.ToDictionary(id => id, id => Answer.Of(checks[id] with { CreateIndex = 0, ModifyIndex = 0 }), StringComparer.Ordinal);
        return request.AnswerAsync(answer, RegistryJson.Default.IReadOnlyDictionaryStringCheckAnswer);
    }

    private async Task RegisterAsync(RegistryRequest request)
    {
        var wanted = await request.ReadJsonAsync(RegistryJson.Default.AgentCheckRegistration);
        if (string.IsNullOrEmpty(wanted.Name)) throw new Refusal(400, "Missing check name");
        Served.Require(wanted);
        var check = AgentRegistration.CheckOf(wanted);
        var wrong = registry.Store.Change(draft =>
        {
            if (check.Entry.ServiceId.Length > 0 && !draft.State.AgentServices.Contains(check.Entry.ServiceId)) return $"ServiceID \"{check.Entry.ServiceId}\" does not exist";
            return AgentRegistration.Apply(draft, check);
        });
        if (wrong is not null) throw new Refusal(404, wrong);
        request.AnswerEmpty(200);
    }

    private Task DeregisterAsync(RegistryRequest request)
    {
        var id = request.Name;
        var isKnown = registry.Store.Change(draft =>
        {
            if (!draft.State.AgentChecks.ContainsKey(id)) return false;
            draft.RemoveCheck(draft.State.AgentNode, id);
            return true;
        });
        if (!isKnown) throw Unknown(id);
        request.AnswerEmpty(200);
        return Task.CompletedTask;
    }

    private Task ReportAsync(RegistryRequest request, string status)
    {
        Report(request, status, request.Query["note"].ToString());
        return Task.CompletedTask;
    }

    private async Task UpdateAsync(RegistryRequest request)
    {
        var update = await request.ReadJsonAsync(RegistryJson.Default.CheckUpdateRequest);
        if (!CheckStatus.IsKnown(update.Status ?? "")) throw new Refusal(400, $"Invalid check status: '{update.Status}'");
        Report(request, update.Status!, update.Output ?? "");
    }

    private void Report(RegistryRequest request, string status, string output)
    {
        switch (registry.Checks.Report(request.Name, status, output))
        {
            case ReportOutcome.UnknownCheck: throw Unknown(request.Name);
            case ReportOutcome.NotTtl: throw new Refusal(500, $"CheckID \"{request.Name}\" does not have associated TTL");
            default: request.AnswerEmpty(200); break;
        }
    }

    private static Refusal Unknown(string id) => new(404, $"Unknown check ID \"{id}\". Ensure that the check ID is passed, not the check name.");
}
