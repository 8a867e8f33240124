using System.Collections.Immutable;
using System.Globalization;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules.Documents;

namespace Mesh.ControlPlane.Rules.Kubernetes;

/// <summary>Service documents (v1). Pure but for the findings it adds.</summary>
internal static class ServiceReader
{
    private const int MostPorts = 250;

    /// <summary>Reads a document; null when it cannot be used, which has been reported.</summary>
    public static ServiceDocument? Read(Fields document)
    {
        var meta = ObjectMeta.Read(document, nameIsLabel: true);
        var spec = document.Required("spec", "it has the ports");
        document.Done("apiVersion", "kind", "status");
        if (spec is null) return null;

        if (spec.Word("type", "ClusterIP", "NodePort", "LoadBalancer", "ExternalName") == "ExternalName")
            spec.Error("type", "ExternalName is not supported yet: call the external name itself");
        if (spec.Word("sessionAffinity", "None", "ClientIP") == "ClientIP")
            spec.Error("sessionAffinity", "ClientIP is not supported yet: remove the field");
        var selector = spec.Map("selector");
        var clusterIp = spec.Text("clusterIP");
        var ports = ReadPorts(spec);
        var service = new ServiceDocument
        {
            Name = meta.FullName,
            Ports = ports,
            Selector = selector is { Count: > 0 } ? selector : null,
            ClusterIPs = Addresses(spec, clusterIp),
            Headless = clusterIp == "None",
            Source = new Provenance("Service", meta.Namespace, meta.Name, $"{document.Findings.File}:{document.Line}"),
        };
        spec.Done("externalName", "nodePort", "externalTrafficPolicy", "internalTrafficPolicy", "healthCheckNodePort", "ipFamilies", "ipFamilyPolicy",
            "allocateLoadBalancerNodePorts", "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges", "externalIPs",
            "publishNotReadyAddresses", "sessionAffinityConfig", "trafficDistribution");
        return service;
    }

    private static ImmutableArray<ServicePort> ReadPorts(Fields spec)
    {
        spec.Require("ports", "without ports nobody can call the service");
        var ports = ImmutableArray.CreateBuilder<ServicePort>();
        var numbers = new HashSet<int>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        var items = spec.Objects("ports", MostPorts);
        if (spec.Value("ports") is SequenceNode && items.Count == 0) spec.Error("ports", "must have at least one port");
        foreach (var item in items)
        {
            item.Require("port", "it is the number clients use");
            var name = item.Label("name") ?? "";
            var number = item.Integer("port", 1, 65535);
            var target = TargetPort(item);
            var isTcp = PortProtocol.IsTcp(item);
            var protocol = PortProtocol.Read(item, name);
            item.Done("nodePort");
            if (!isTcp) continue;
            if (items.Count > 1 && !item.Has("name")) item.Error("name", "is missing: each port of several needs one");
            if (name.Length > 0 && !names.Add(name)) item.Error("name", $"two ports are called \"{name}\"");
            if (number is { } known && !numbers.Add(known)) item.Error("port", $"two ports have the number {known}");
            ports.Add(new ServicePort(number ?? 0, name, protocol, target));
        }

        return ports.ToImmutable();
    }

    private static string TargetPort(Fields item)
    {
        if (item.Value("targetPort") is ScalarNode { IsNumber: true })
            return item.Integer("targetPort", 1, 65535)?.ToString(CultureInfo.InvariantCulture) ?? "";
        return item.Label("targetPort") ?? "";
    }

    private static ImmutableArray<string> Addresses(Fields spec, string? clusterIp)
    {
        var addresses = ImmutableArray.CreateBuilder<string>();
        if (clusterIp is { Length: > 0 } and not "None")
        {
            if (Formats.IsAddress(clusterIp)) addresses.Add(clusterIp);
            else spec.Error("clusterIP", $"must be an IP address or None, is \"{clusterIp}\"");
        }

        var list = spec.Scalars("clusterIPs", 2);
        for (var i = 0; i < list.Count; i++)
        {
            if (list[i].Text == "None" || addresses.Contains(list[i].Text)) continue;
            if (Formats.IsAddress(list[i].Text)) addresses.Add(list[i].Text);
            else spec.Findings.Error(list[i].Line, $"{spec.PathOf("clusterIPs")}[{i}]", $"must be an IP address, is {list[i].Describe()}");
        }

        return addresses.ToImmutable();
    }
}
