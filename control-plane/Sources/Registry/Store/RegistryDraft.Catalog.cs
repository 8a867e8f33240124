using System.Collections.Immutable;

namespace Mesh.ControlPlane.Sources.Registry.Store;

/// <summary>The catalog's operations: nodes, services, checks.</summary>
internal sealed partial class RegistryDraft
{
    private static readonly ImmutableSortedSet<InstanceKey> NoInstances = [];

    /// <summary>Adds a node or changes what is said of it; its services and checks stay.</summary>
    public string? SetNode(NodeEntry node)
    {
        if (node.Name.Length == 0) return "Must provide node";
        if (node.Id.Length > 0 && !Guid.TryParse(node.Id, out _)) return "Bad node ID: it must be a UUID";
        var former = FormerSelf(node);
        if (former is not null && IsAgentNode(former.Name)) return $"Bad node ID: it is the one of this registry's own node '{former.Name}'";
        if (former is not null) RemoveNode(former.Name);
        var found = State.Nodes.GetValueOrDefault(node.Name);
        if (found is not null && node.Id.Length == 0) node = node with { Id = found.Id };
        if (found is not null && found.SaysSameAs(node)) return null;
        var set = (found ?? node) with
        {
            Name = node.Name,
            Id = node.Id,
            Address = node.Address,
            TaggedAddresses = node.TaggedAddresses,
            Meta = node.Meta,
            CreateIndex = (found ?? former)?.CreateIndex ?? Index,
            ModifyIndex = Index,
            ContentIndex = Index,
        };
        State = State with { Nodes = State.Nodes.SetItem(set.Name, set), NodesIndex = Index };
        topics.Add(Topic.Nodes);
        topics.Add(Topic.Node(set.Name));
        TouchServicesOn(set);
        return null;
    }

    public string? SetService(string nodeName, ServiceEntry service)
    {
        if (!State.Nodes.TryGetValue(nodeName, out var node)) return "Missing node registration";
        var found = node.Services.GetValueOrDefault(service.Id);
        if (found is not null && found.SaysSameAs(service)) return null;
        if (found is not null && !found.Name.Equals(service.Name, StringComparison.OrdinalIgnoreCase)) RemoveInstance(node, found);
        service = service with { CreateIndex = found?.CreateIndex ?? Index, ModifyIndex = Index };
        PutNode(node with { Services = node.Services.SetItem(service.Id, service), ContentIndex = Index });
        var keys = State.Services.GetValueOrDefault(service.Name)?.Keys ?? NoInstances;
        State = State with
        {
            Services = State.Services.SetItem(service.Name, new ServiceInstances(Index, keys.Add(new InstanceKey(node.Name, service.Id)))),
        };
        TouchCatalog(node.Name, service.Name);
        RenameChecksOf(node.Name, service);
        return null;
    }

    public string? SetCheck(CheckEntry check)
    {
        if (!State.Nodes.TryGetValue(check.Node, out var node)) return "Missing node registration";
        if (check.ServiceId.Length > 0)
        {
            if (!node.Services.TryGetValue(check.ServiceId, out var service)) return "Missing service registration";
            check = check with { ServiceName = service.Name, ServiceTags = service.Tags };
        }

        if (check.Id.Length == 0) check = check with { Id = check.Name };
        var found = node.Checks.GetValueOrDefault(check.Id);
        if (found is not null && found.SaysSameAs(check)) return null;
        PutCheck(node, check with { Node = node.Name, CreateIndex = found?.CreateIndex ?? Index });
        return null;
    }

    /// <summary>Changes the state of a check that is there; false when it is not.</summary>
    public bool SetCheckStatus(string nodeName, string id, string status, string output)
    {
        if (!State.Nodes.TryGetValue(nodeName, out var node) || !node.Checks.TryGetValue(id, out var check)) return false;
        if (check.Status != status || check.Output != output) PutCheck(node, check with { Status = status, Output = output });
        return true;
    }

    public void RemoveNode(string name)
    {
        if (!State.Nodes.TryGetValue(name, out var node)) return;
        foreach (var id in node.Services.Keys) RemoveService(name, id);
        foreach (var id in State.Nodes[name].Checks.Keys) RemoveCheck(name, id);
        EndSessions(s => s.Node.Equals(name, StringComparison.OrdinalIgnoreCase));
        State = State with { Nodes = State.Nodes.Remove(name), NodesIndex = Index, NodeGoneIndex = Index, ServicesIndex = Index, ChecksIndex = Index };
        topics.UnionWith([Topic.Nodes, Topic.Services, Topic.Checks, Topic.Node(name)]);
    }

    public void RemoveService(string nodeName, string id)
    {
        if (!State.Nodes.TryGetValue(nodeName, out var node) || !node.Services.TryGetValue(id, out var service)) return;
        foreach (var check in node.ChecksOnlyOf(id).ToArray()) RemoveCheck(nodeName, check.Id);
        node = State.Nodes[nodeName];
        PutNode(node with { Services = node.Services.Remove(id), ContentIndex = Index });
        RemoveInstance(node, service);
        TouchCatalog(nodeName, service.Name);
        topics.Add(Topic.Checks);
        State = State with { ChecksIndex = Index, AgentServices = IsAgentNode(nodeName) ? State.AgentServices.Remove(id) : State.AgentServices };
    }

    public void RemoveCheck(string nodeName, string id)
    {
        if (!State.Nodes.TryGetValue(nodeName, out var node) || !node.Checks.TryGetValue(id, out var check)) return;
        PutNode(node.WithoutCheck(id));
        TouchChecks(node, check);
        if (IsAgentNode(nodeName)) DisownCheck(id);
        EndSessionsOf(nodeName, id);
    }

    /// <summary>A node ID has one name: a node that comes back under another name takes the place of its former self.</summary>
    private NodeEntry? FormerSelf(NodeEntry node) => node.Id.Length == 0
        ? null
        : State.Nodes.Values.FirstOrDefault(n => n.Id == node.Id && !n.Name.Equals(node.Name, StringComparison.OrdinalIgnoreCase));

    private void RemoveInstance(NodeEntry node, ServiceEntry service)
    {
        var keys = State.Services[service.Name].Keys.Remove(new InstanceKey(node.Name, service.Id));
        State = keys.IsEmpty
            ? State with { Services = State.Services.Remove(service.Name), ServiceGoneIndex = Index }
            : State with { Services = State.Services.SetItem(service.Name, new ServiceInstances(Index, keys)) };
        topics.Add(Topic.Service(service.Name));
    }

    /// <summary>A check carries its service's name and tags; they follow the service.</summary>
    private void RenameChecksOf(string nodeName, ServiceEntry service)
    {
        foreach (var check in State.Nodes[nodeName].ChecksOnlyOf(service.Id).ToArray())
        {
            var renamed = check with { ServiceName = service.Name, ServiceTags = service.Tags };
            if (!renamed.SaysSameAs(check)) PutCheck(State.Nodes[nodeName], renamed);
        }
    }

    private void PutCheck(NodeEntry node, CheckEntry check)
    {
        PutNode(node.WithCheck(check with { ModifyIndex = Index }));
        TouchChecks(node, check);
        if (check.Status == CheckStatus.Critical) EndSessionsOf(node.Name, check.Id);
    }

    private void PutNode(NodeEntry node) => State = State with { Nodes = State.Nodes.SetItem(node.Name, node) };

    private void TouchCatalog(string node, string service)
    {
        State = State with { ServicesIndex = Index, NodesIndex = Index };
        topics.UnionWith([Topic.Services, Topic.Nodes, Topic.Node(node), Topic.Service(service)]);
    }

    /// <summary>A check of a service concerns that service; a check of the node concerns all that run there.</summary>
    private void TouchChecks(NodeEntry node, CheckEntry check)
    {
        State = State with { ChecksIndex = Index };
        topics.Add(Topic.Checks);
        if (check.ServiceId.Length == 0) TouchServicesOn(node);
        else if (node.Services.TryGetValue(check.ServiceId, out var service)) TouchService(service.Name);
    }

    private void TouchServicesOn(NodeEntry node)
    {
        foreach (var name in node.Services.Values.Select(s => s.Name).Distinct(StringComparer.OrdinalIgnoreCase)) TouchService(name);
    }

    private void TouchService(string name)
    {
        if (State.Services.TryGetValue(name, out var found)) State = State with { Services = State.Services.SetItem(name, found with { Index = Index }) };
        topics.Add(Topic.Service(name));
    }

    /// <summary>The registry's own node and its health cannot be taken out of the catalog: sessions and the agent's services live on it.</summary>
    public string? WrongWithRemoving(string nodeName, string serviceId, string checkId) =>
        IsAgentNode(nodeName) && serviceId.Length == 0 && checkId is "" or AgentNode.HealthCheck ? $"'{nodeName}' is the registry's own node; deregister its services one by one" : null;

    private bool IsAgentNode(string name) => name.Equals(State.AgentNode, StringComparison.OrdinalIgnoreCase);
}
