using System.Net;
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
        if (workload.Capture is { } capture) mesh.Fields["capture"] = Value.ForStruct(Capture(capture));
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

    private static Struct Capture(WorkloadCapture capture) => Map(
    [
        ("mode", Value.ForString(capture.Mode == CaptureMode.Tproxy ? "tproxy" : "redirect")),
        ("outbound", Addresses(capture.Outbound)),
        ("inbound", Addresses(capture.Inbound)),
        ("dns", Value.ForBool(!capture.Dns.IsEmpty)),
        ("ports", Value.ForString(capture.DeclaredOnly ? "declared" : "all")),
    ]);

    private static Value Addresses(IEnumerable<IPEndPoint> bound) => Value.ForList([.. bound.Select(address => Value.ForString(address.ToString()))]);

    private static Struct Port(WorkloadPort port)
    {
        var fields = Map(
        [
            ("port", Value.ForNumber(port.Port)),
            ("name", Value.ForString(port.Name)),
            ("protocol", Value.ForString(port.Protocol)),
        ]);
        if (port.Listen is { } listen) fields.Fields["listen"] = Value.ForString(listen.ToString());
        return fields;
    }

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
