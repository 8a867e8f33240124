using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Json;

/// <summary>Turns what the store holds into what the API answers. Stateless.</summary>
internal static class Answer
{
    private const long NanosecondsPerTick = 100;

    public static NodeAnswer Of(NodeEntry n, string datacenter) =>
        new(n.Id, n.Name, n.Address, datacenter, n.TaggedAddresses, n.Meta, n.CreateIndex, n.ModifyIndex);

    public static ServiceAnswer Of(ServiceEntry s) => new()
    {
        ID = s.Id,
        Service = s.Name,
        Tags = s.Tags,
        Address = s.Address,
        TaggedAddresses = OrNull(s.TaggedAddresses),
        Meta = s.Meta,
        Port = s.Port,
        Weights = s.Weights,
        EnableTagOverride = s.EnableTagOverride,
        CreateIndex = s.CreateIndex,
        ModifyIndex = s.ModifyIndex,
    };

    public static InstanceAnswer Of(NodeEntry n, ServiceEntry s, string datacenter) => new()
    {
        ID = n.Id,
        Node = n.Name,
        Address = n.Address,
        Datacenter = datacenter,
        TaggedAddresses = n.TaggedAddresses,
        NodeMeta = n.Meta,
        ServiceID = s.Id,
        ServiceName = s.Name,
        ServiceTags = s.Tags,
        ServiceAddress = s.Address,
        ServiceTaggedAddresses = OrNull(s.TaggedAddresses),
        ServiceWeights = s.Weights,
        ServiceMeta = s.Meta,
        ServicePort = s.Port,
        ServiceEnableTagOverride = s.EnableTagOverride,
        CreateIndex = s.CreateIndex,
        ModifyIndex = s.ModifyIndex,
    };

    public static CheckAnswer Of(CheckEntry c) => new(
        c.Node, c.Id, c.Name, c.Status, c.Notes, c.Output, c.ServiceId, c.ServiceName, c.ServiceTags, c.Type, c.Interval, c.Timeout, c.CreateIndex, c.ModifyIndex);

    public static AgentServiceAnswer OfAgent(ServiceEntry s, string datacenter) => new()
    {
        ID = s.Id,
        Service = s.Name,
        Tags = s.Tags,
        Meta = s.Meta,
        Port = s.Port,
        Address = s.Address,
        TaggedAddresses = OrNull(s.TaggedAddresses),
        Weights = s.Weights,
        EnableTagOverride = s.EnableTagOverride,
        Datacenter = datacenter,
    };

    public static KvAnswer Of(KvEntry e, bool withValue = true) => new(
        e.LockIndex,
        e.Key,
        e.Flags,
        withValue && e.Value.Length > 0 ? e.Value : null,
        e.Session.Length > 0 ? e.Session : null,
        e.CreateIndex,
        e.ModifyIndex);

    public static SessionAnswer Of(SessionEntry s) => new(
        s.Id,
        s.Name,
        s.Node,
        s.LockDelay.Ticks * NanosecondsPerTick,
        s.DeletesKeys ? "delete" : "release",
        s.Ttl,
        s.NodeChecks,
        s.ServiceChecks.Count == 0 ? null : [.. s.ServiceChecks.Select(c => new SessionCheckAnswer(c, ""))],
        s.CreateIndex,
        s.ModifyIndex);

    private static IReadOnlyDictionary<string, T>? OrNull<T>(IReadOnlyDictionary<string, T> map) => map.Count == 0 ? null : map;
}
