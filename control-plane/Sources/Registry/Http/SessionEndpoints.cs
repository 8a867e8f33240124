using System.Text.Json;
using Mesh.ControlPlane.Sources.Registry.Json;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>/v1/session: lock holders. Thread safe.</summary>
internal sealed class SessionEndpoints(RegistryContext registry)
{
    private static readonly TimeSpan MinTtl = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan MaxTtl = TimeSpan.FromHours(24);
    private static readonly TimeSpan DefaultLockDelay = TimeSpan.FromSeconds(15);

    public IEnumerable<Endpoint> All =>
    [
        new("/v1/session/create", "PUT", CreateAsync),
        new("/v1/session/destroy/", "PUT", DestroyAsync),
        new("/v1/session/renew/", "PUT", RenewAsync),
        new("/v1/session/info/", "GET", InfoAsync),
        new("/v1/session/node/", "GET", NodeAsync),
        new("/v1/session/list", "GET", r => ListAsync(r, _ => true)),
    ];

    private async Task CreateAsync(RegistryRequest request)
    {
        var body = await request.ReadBodyAsync(RegistryRequest.MaxBody);
        var session = ToSession(Parse(body), registry.Store.Current.AgentNode);
        var wrong = registry.Store.Change(draft =>
        {
            var refused = draft.BeginSession(session);
            if (refused is not null) draft.Reject();
            return refused;
        });
        if (wrong is not null) throw new Refusal(500, $"apply failed: {wrong}");
        await registry.SavedAsync();
        await request.AnswerAsync(new SessionIdAnswer(session.Id), RegistryJson.Default.SessionIdAnswer);
    }

    private async Task DestroyAsync(RegistryRequest request)
    {
        var id = request.RequireName("session");
        registry.Store.Change(draft =>
        {
            draft.EndSession(id);
            return true;
        });
        await registry.SavedAsync();
        await request.AnswerBoolAsync(true);
    }

    private Task RenewAsync(RegistryRequest request)
    {
        var id = request.RequireName("session");
        if (!registry.Store.Current.Sessions.TryGetValue(id, out var session)) throw new Refusal(404, $"Session id '{id}' not found");
        registry.Sessions.Renew(session);
        return request.AnswerAsync([Answer.Of(session)], RegistryJson.Default.IReadOnlyListSessionAnswer);
    }

    private Task InfoAsync(RegistryRequest request)
    {
        var id = request.RequireName("session");
        return ListAsync(request, s => s.Id == id);
    }

    private Task NodeAsync(RegistryRequest request)
    {
        var node = request.RequireName("node name");
        return ListAsync(request, s => s.Node.Equals(node, StringComparison.OrdinalIgnoreCase));
    }

    private async Task ListAsync(RegistryRequest request, Func<SessionEntry, bool> which)
    {
        var state = await registry.Queries.ReadAsync(request, new Watched(Topic.Sessions, s => s.SessionsIndex));
        await request.AnswerAsync([.. state.Sessions.Values.Where(which).Select(Answer.Of)], RegistryJson.Default.IReadOnlyListSessionAnswer);
    }

    /// <summary>An empty body is a session with all defaults.</summary>
    private static SessionRequest Parse(byte[] body)
    {
        if (body.Length == 0) return new SessionRequest();
        try
        {
            return JsonSerializer.Deserialize(body, RegistryJson.Default.SessionRequest) ?? new SessionRequest();
        }
        catch (JsonException e)
        {
            throw new Refusal(400, $"Request decode failed: {e.Message}");
        }
    }

    private static SessionEntry ToSession(SessionRequest wanted, string agentNode)
    {
        if (wanted.Behavior is not (null or "" or "release" or "delete")) throw new Refusal(500, $"Invalid Behavior setting '{wanted.Behavior}'");
        return new SessionEntry
        {
            Id = Guid.NewGuid().ToString(),
            Name = wanted.Name ?? "",
            Node = string.IsNullOrEmpty(wanted.Node) ? agentNode : wanted.Node,
            LockDelay = wanted.LockDelay ?? DefaultLockDelay,
            DeletesKeys = wanted.Behavior == "delete",
            Ttl = wanted.TTL ?? "",
            TimeToLive = ParseTtl(wanted.TTL),
            NodeChecks = wanted.NodeChecks ?? wanted.Checks ?? [AgentNode.HealthCheck],
            ServiceChecks = [.. (wanted.ServiceChecks ?? []).Select(c => c.ID ?? "")],
        };
    }

    private static TimeSpan ParseTtl(string? text)
    {
        if (string.IsNullOrEmpty(text)) return TimeSpan.Zero;
        if (!GoDuration.TryParse(text, out var ttl)) throw new Refusal(500, $"Session TTL '{text}' invalid: it must be a duration such as \"15s\"");
        return ttl == TimeSpan.Zero || (ttl >= MinTtl && ttl <= MaxTtl)
            ? ttl
            : throw new Refusal(500, $"Invalid Session TTL '{text}', must be between [10s=24h0m0s]");
    }
}
