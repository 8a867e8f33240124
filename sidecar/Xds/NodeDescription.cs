using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Xds;

/// <summary>How a sidecar presents itself to the control plane. Pure.</summary>
internal static class NodeDescription
{
    /// <summary>user_agent_name of our sidecar.</summary>
    public const string UserAgent = "mesh-sidecar";

    /// <summary>The ADS node of a workload.</summary>
    public static Node Of(Workload workload, string programVersion)
    {
        var mesh = new Struct();
        mesh.Fields["service"] = Value.ForString(workload.Service);
        mesh.Fields["namespace"] = Value.ForString(workload.Namespace);
        mesh.Fields["version"] = Value.ForString(workload.Version);
        mesh.Fields["workload"] = Value.ForString(workload.Id);
        mesh.Fields["discover"] = Value.ForString(workload.DiscoverAll ? "all" : "declared");
        mesh.Fields["labels"] = Value.ForStruct(Map(workload.Labels.Select(l => (l.Key, Value.ForString(l.Value)))));
        mesh.Fields["ports"] = Value.ForList([.. workload.Ports.Select(p => Value.ForStruct(Port(p)))]);
        mesh.Fields["upstreams"] = Value.ForList([.. workload.Upstreams.Select(u => Value.ForStruct(Upstream(u)))]);
        if (workload.Outbound is not null) mesh.Fields["outbound"] = Value.ForString(workload.Outbound.ToString());
        var node = new Node
        {
            Id = workload.NodeId,
            Cluster = workload.Service,
            UserAgentName = UserAgent,
            UserAgentVersion = programVersion,
            Metadata = Map([("mesh", Value.ForStruct(mesh))]),
        };
        if (workload.Zone.Length > 0) node.Locality = new Locality { Zone = workload.Zone };
        return node;
    }

    private static Struct Port(WorkloadPort port) => Map(
    [
        ("port", Value.ForNumber(port.Port)),
        ("name", Value.ForString(port.Name)),
        ("protocol", Value.ForString(port.Protocol)),
        ("listen", Value.ForString(port.Listen.ToString())),
    ]);

    private static Struct Upstream(WorkloadUpstream upstream)
    {
        var fields = Map(
        [
            ("service", Value.ForString(upstream.Service)),
            ("listen", Value.ForString(upstream.Listen.ToString())),
            ("protocol", Value.ForString(upstream.Protocol)),
        ]);
        if (upstream.Port is { } port) fields.Fields["port"] = Value.ForNumber(port);
        return fields;
    }

    private static Struct Map(IEnumerable<(string Key, Value Value)> fields)
    {
        var map = new Struct();
        foreach (var (key, value) in fields) map.Fields[key] = value;
        return map;
    }
}
