using System.Collections.Immutable;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Tests.Model;

/// <summary>Short ways to say what a test's world is made of.</summary>
internal static class Given
{
    public static ServiceName Name(string text) => text.Split('/') is [var ns, var name] ? new ServiceName(ns, name) : new ServiceName("default", text);

    /// <summary>A workload of the mesh: each port is <c>appPort:protocol[:name]</c>, its sidecar listens on appPort + 30000.</summary>
    public static Instance Workload(string id, string service, params string[] ports) => new()
    {
        Id = id,
        Namespace = Name(service).Namespace,
        Service = Name(service).Name,
        Address = "10.0.0." + (1 + (id.GetHashCode(StringComparison.Ordinal) & 0x7f)),
        Ports = [.. ports.Select(Port)],
        Labels = ImmutableSortedDictionary<string, string>.Empty.Add("app", Name(service).Name),
        Meshed = true,
        Source = new Provenance("Workload", Name(service).Namespace, id, "workload:" + id),
    };

    public static InstancePort Port(string text)
    {
        var parts = text.Split(':');
        var number = int.Parse(parts[0]);
        var protocol = parts.Length > 1 ? Enum.Parse<AppProtocol>(parts[1], ignoreCase: true) : AppProtocol.Unknown;
        return new InstancePort(parts.Length > 2 ? parts[2] : "", number, protocol, number + 30000);
    }

    public static ServiceDocument Service(string name, params ServicePort[] ports) => new()
    {
        Name = Name(name),
        Ports = [.. ports],
        Source = new Provenance("Service", Name(name).Namespace, Name(name).Name, "rules/shop.yaml:1"),
    };

    public static HttpRoute Route(string name, string parent, params HttpRouteRule[] rules) => new()
    {
        Name = Name(name),
        Parents = [new ParentRef(Name(parent), null)],
        Rules = [.. rules.Select((rule, index) => rule with { Source = rule.Source with { Namespace = Name(name).Namespace, Name = Name(name).Name, Rule = index } })],
        Source = new Provenance("HTTPRoute", Name(name).Namespace, Name(name).Name, "rules/shop.yaml:20"),
    };

    public static HttpRouteRule Rule(HttpRouteMatch match, params BackendRef[] backends) => new()
    {
        Matches = [match],
        Backends = [.. backends],
        Source = new Provenance("HTTPRoute", "", "", "rules/shop.yaml:25"),
    };

    public static BackendRef Backend(string service, int port, int weight = 1) => new(Name(service), port, weight);

    public static World World(IEnumerable<Instance> instances, RuleSet? rules = null, World? previous = null) => WorldBuilder.Build(
        previous ?? Mesh.ControlPlane.Model.World.Empty,
        ImmutableSortedDictionary<string, ImmutableArray<Instance>>.Empty.Add(SourceOrder.Workloads, [.. instances]),
        ImmutableSortedDictionary<string, RuleSet>.Empty.Add(SourceOrder.Files, rules ?? RuleSet.Empty));
}
