using System.Reflection;
using Mesh.ControlPlane.Sources.Registry.Json;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>/v1/agent/self and members, /v1/status: who answers here. Thread safe.</summary>
internal sealed class AgentEndpoints(RegistryContext registry, Func<string> address)
{
    /// <summary>The version of Consul whose API this is a part of; clients choose what to ask for by it.</summary>
    public const string ConsulVersion = "1.16.6";

    public IEnumerable<Endpoint> All =>
    [
        new("/v1/agent/self", "GET", SelfAsync),
        new("/v1/agent/members", "GET", r => r.AnswerAsync([Member()], RegistryJson.Default.IReadOnlyListMemberAnswer)),
        new("/v1/status/leader", "GET", r => r.AnswerAsync(address(), RegistryJson.Default.String)),
        new("/v1/status/peers", "GET", r => r.AnswerAsync([address()], RegistryJson.Default.IReadOnlyListString)),
    ];

    private Task SelfAsync(RegistryRequest request)
    {
        var node = Node();
        var revision = typeof(AgentEndpoints).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";
        var config = new SelfConfigAnswer(registry.Datacenter, node.Name, node.Id, ConsulVersion, $"mesh-{revision}");
        return request.AnswerAsync(new SelfAnswer(config, Member(), node.Meta), RegistryJson.Default.SelfAnswer);
    }

    private MemberAnswer Member()
    {
        var node = Node();
        var tags = new Dictionary<string, string>(StringComparer.Ordinal) { ["role"] = "consul", ["dc"] = registry.Datacenter, ["id"] = node.Id, ["build"] = $"{ConsulVersion}:mesh" };
        return new MemberAnswer(node.Name, node.Address, int.Parse(address().Split(':')[^1]), tags);
    }

    private NodeEntry Node() => registry.Store.Current.Nodes[registry.Store.Current.AgentNode];
}
