using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules.Documents;
using Mesh.ControlPlane.Rules.Istio;

namespace Mesh.ControlPlane.Rules.GatewayApi;

/// <summary>The backends of a rule. Pure but for the findings it adds.</summary>
internal static class BackendRefReader
{
    private const int LargestWeight = 1_000_000;

    /// <summary>Reads one backend. A reference that is well formed but leads nowhere is kept: its share is answered with 500 (Gateway API).</summary>
    public static BackendRef Read(Fields item, string ns)
    {
        item.Require("name", "it is the Service, or the Hostname of a ServiceEntry, to send to");
        item.NotYet("filters", "filters are");
        var group = item.Text("group") ?? "";
        var kind = item.Text("kind") ?? "Service";
        var isService = kind == "Service" && group is "" or "core";
        var isHost = kind == "Hostname" && group == ServiceEntryReader.Group;
        var name = isService ? item.Label("name") : item.Subdomain("name");
        var port = item.Integer("port", 1, 65535);
        if ((isService || isHost) && !item.Has("port")) item.Error("port", $"is missing: a {kind} is called on a port");
        var weight = item.Integer("weight", 0, LargestWeight) ?? 1;
        var space = item.Label("namespace");
        if (isHost && space is not null) item.Error("namespace", "a Hostname is in no namespace: remove the field");
        var service = isHost ? ServiceName.OfHost(name ?? "") : new ServiceName(space ?? ns, name ?? "");
        item.Done();
        return new BackendRef(service, port, weight, isService || isHost ? null : $"its kind is {(group.Length == 0 ? kind : $"{group}/{kind}")}, only Service and {ServiceEntryReader.Group}/Hostname are supported");
    }
}
