using System.Text.Json.Serialization;
using Mesh.ControlPlane.Sources.Registry.Checks;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Persistence;

/// <summary>A node as the data file has it; its services and checks stand in lists of their own. Immutable.</summary>
internal sealed record NodeData(
    string Name,
    string Id,
    string Address,
    IReadOnlyDictionary<string, string> TaggedAddresses,
    IReadOnlyDictionary<string, string> Meta,
    ulong CreateIndex,
    ulong ModifyIndex,
    ulong ContentIndex,
    IReadOnlyList<ServiceEntry> Services,
    IReadOnlyList<CheckEntry> Checks);

/// <summary>The indexes of the tables. Immutable.</summary>
internal sealed record IndexData(ulong Nodes, ulong Services, ulong Checks, ulong Kv, ulong Sessions, ulong ServiceGone, ulong NodeGone);

/// <summary>Everything the data file says. Immutable; <see cref="Of"/> and <see cref="ToState"/> are each other's inverse.</summary>
internal sealed record RegistryData
{
    public const int CurrentFormat = 1;

    public required int Format { get; init; }

    public required ulong Index { get; init; }

    public required string AgentNode { get; init; }

    public required IndexData Indexes { get; init; }

    public required IReadOnlyList<NodeData> Nodes { get; init; }

    public required IReadOnlyDictionary<string, ulong> ServiceIndexes { get; init; }

    public required IReadOnlyList<KvEntry> Keys { get; init; }

    public required IReadOnlyDictionary<string, ulong> DeletedKeys { get; init; }

    public required IReadOnlyList<SessionEntry> Sessions { get; init; }

    public required IReadOnlyList<string> AgentServices { get; init; }

    public required IReadOnlyList<CheckDefinition> AgentChecks { get; init; }

    public static RegistryData Of(RegistryState state) => new()
    {
        Format = CurrentFormat,
        Index = state.Index,
        AgentNode = state.AgentNode,
        Indexes = new IndexData(
            state.NodesIndex, state.ServicesIndex, state.ChecksIndex, state.Kv.Index, state.SessionsIndex, state.ServiceGoneIndex, state.NodeGoneIndex),
        Nodes = [.. state.Nodes.Values.Select(n => new NodeData(
            n.Name, n.Id, n.Address, n.TaggedAddresses, n.Meta, n.CreateIndex, n.ModifyIndex, n.ContentIndex, [.. n.Services.Values], [.. n.Checks.Values]))],
        ServiceIndexes = state.Services.ToDictionary(s => s.Key, s => s.Value.Index, StringComparer.Ordinal),
        Keys = state.Kv.Entries,
        DeletedKeys = state.Kv.Deletions,
        Sessions = [.. state.Sessions.Values],
        AgentServices = state.AgentServices,
        AgentChecks = [.. state.AgentChecks.Values],
    };

    public RegistryState ToState()
    {
        var empty = new RegistryState();
        var nodes = Nodes.Select(ToNode).ToDictionary(n => n.Name, StringComparer.Ordinal);
        return empty with
        {
            Index = Index,
            AgentNode = AgentNode,
            NodesIndex = Indexes.Nodes,
            ServicesIndex = Indexes.Services,
            ChecksIndex = Indexes.Checks,
            SessionsIndex = Indexes.Sessions,
            ServiceGoneIndex = Indexes.ServiceGone,
            NodeGoneIndex = Indexes.NodeGone,
            Nodes = empty.Nodes.AddRange(nodes),
            Services = empty.Services.AddRange(ServicesOf(nodes.Values)),
            Kv = KvTable.Restored(Keys, DeletedKeys, Indexes.Kv),
            Sessions = empty.Sessions.AddRange(Sessions.Select(s => KeyValuePair.Create(s.Id, s))),
            AgentServices = empty.AgentServices.Union(AgentServices),
            AgentChecks = empty.AgentChecks.AddRange(AgentChecks.Select(c => KeyValuePair.Create(c.CheckId, c))),
        };
    }

    private static NodeEntry ToNode(NodeData data)
    {
        var node = new NodeEntry
        {
            Name = data.Name,
            Id = data.Id,
            Address = data.Address,
            TaggedAddresses = data.TaggedAddresses,
            Meta = data.Meta,
            CreateIndex = data.CreateIndex,
            ModifyIndex = data.ModifyIndex,
            ContentIndex = data.ContentIndex,
        };
        node = node with { Services = node.Services.AddRange(data.Services.Select(s => KeyValuePair.Create(s.Id, s))) };
        return data.Checks.Aggregate(node, (n, check) => n.WithCheck(check));
    }

    private IEnumerable<KeyValuePair<string, ServiceInstances>> ServicesOf(IEnumerable<NodeEntry> nodes) =>
        nodes.SelectMany(n => n.Services.Values.Select(s => (s.Name, Key: new InstanceKey(n.Name, s.Id))))
            .GroupBy(s => s.Name, StringComparer.OrdinalIgnoreCase)
            .Select(g => KeyValuePair.Create(g.Key, new ServiceInstances(ServiceIndexes.GetValueOrDefault(g.Key, Index), [.. g.Select(s => s.Key)])));
}

/// <summary>How the data file is written and read. A field that the program does not know makes the file unreadable rather than lost.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    UseStringEnumConverter = true,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(RegistryData))]
internal sealed partial class RegistryDataJson : JsonSerializerContext;
