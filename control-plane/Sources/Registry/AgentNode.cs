using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry;

/// <summary>The registry's own node in the catalog: what is registered with the agent is on it. Stateless.</summary>
internal static class AgentNode
{
    /// <summary>The check that Consul gives to each living node, and that sessions depend on by default.</summary>
    public const string HealthCheck = "serfHealth";

    /// <summary>The state with the own node in it; what it had on it stays, and so does its name when the machine's has changed since.</summary>
    public static RegistryState Ensure(RegistryState state, string machine, string address)
    {
        var name = state.AgentNode.Length > 0 ? state.AgentNode : machine;
        var draft = new RegistryDraft(state with { AgentNode = name }, new LockDelays(TimeProvider.System));
        string[] names = ["lan", "lan_ipv4", "wan", "wan_ipv4"];
        var addresses = names.ToDictionary(n => n, _ => address, StringComparer.Ordinal);
        var id = state.Nodes.GetValueOrDefault(name)?.Id is { Length: > 0 } known ? known : Guid.NewGuid().ToString();
        draft.SetNode(new NodeEntry { Name = name, Id = id, Address = address, TaggedAddresses = addresses });
        var healthy = new CheckEntry { Node = name, Id = HealthCheck, Name = "Serf Health Status", Output = "Agent alive and reachable" };
        draft.SetCheck(healthy with { Status = CheckStatus.Passing });
        return draft.IsChanged ? draft.Finish() : draft.State;
    }
}
