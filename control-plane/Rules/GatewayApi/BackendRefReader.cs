using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules.Documents;

namespace Mesh.ControlPlane.Rules.GatewayApi;

/// <summary>The backends of a rule. Pure but for the findings it adds.</summary>
internal static class BackendRefReader
{
    private const int LargestWeight = 1_000_000;

    /// <summary>Reads one backend. A reference that is well formed but leads nowhere is kept: its share is answered with 500 (Gateway API).</summary>
    public static BackendRef Read(Fields item, string ns)
    {
        item.Require("name", "it is the Service to send to");
        item.NotYet("filters", "filters are");
        var group = item.Text("group") ?? "";
        var kind = item.Text("kind") ?? "Service";
        var isService = kind == "Service" && group is "" or "core";
        var name = isService ? item.Label("name") : item.Subdomain("name");
        var port = item.Integer("port", 1, 65535);
        if (isService && !item.Has("port")) item.Error("port", "is missing: a Service is called on a port");
        var weight = item.Integer("weight", 0, LargestWeight) ?? 1;
        var service = new ServiceName(item.Label("namespace") ?? ns, name ?? "");
        item.Done();
        return new BackendRef(service, port, weight, isService ? null : $"its kind is {(group.Length == 0 ? kind : $"{group}/{kind}")}, only Service is supported");
    }
}
