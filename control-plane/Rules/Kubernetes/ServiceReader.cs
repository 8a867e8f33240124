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

        if (spec.Word("type", "ClusterIP", "NodePort", "LoadBalancer", "ExternalName") == "ExternalName") return ReadExternal(meta, spec, document);
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
        Done(spec);
        return service;
    }

    // Without ports an ExternalName is every port in Kubernetes. Here a port is what connections are told apart by: the two that nearly all mean.
    private static readonly ImmutableArray<ServicePort> UsualPorts = [new(80, "http", AppProtocol.Http), new(443, "tls", AppProtocol.Tcp)];

    private static ServiceDocument ReadExternal(ObjectMeta meta, Fields spec, Fields document)
    {
        spec.Require("externalName", "it is the host that the service stands for");
        var host = spec.ExternalHost("externalName");
        if (spec.Map("selector") is { Count: > 0 }) spec.Error("selector", "an ExternalName is served by a host, not by instances: remove the field");
        if (spec.Text("clusterIP") is { Length: > 0 } address && address != "None") spec.Error("clusterIP", "an ExternalName has none: remove the field");
        var ports = spec.Has("ports") ? ReadPorts(spec) : UsualPorts;
        Done(spec);
        var source = new Provenance("Service", meta.Namespace, meta.Name, $"{document.Findings.File}:{document.Line}");
        var there = new Instance
        {
            Id = $"external/{meta.Namespace}/{meta.Name}",
            Namespace = meta.Namespace,
            Service = "",
            Address = host ?? "",
            Workload = host ?? "",
            Ports = [.. ports.Select(port => new InstancePort(port.Name, port.Port, port.Protocol, TargetOf(port)))],
            Source = source,
        };
        return new ServiceDocument { Name = meta.FullName, Ports = ports, External = new ExternalPlace(ExternalResolution.Dns, [there]), Source = source };
    }

    // Kubernetes has no endpoints here that a name could mean.
    private static int TargetOf(ServicePort port) => int.TryParse(port.TargetPort, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : port.Port;

    private static void Done(Fields spec) =>
        spec.Done("externalName", "clusterIPs", "sessionAffinity", "nodePort", "externalTrafficPolicy", "internalTrafficPolicy", "healthCheckNodePort", "ipFamilies", "ipFamilyPolicy",
            "allocateLoadBalancerNodePorts", "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges", "externalIPs",
            "publishNotReadyAddresses", "sessionAffinityConfig", "trafficDistribution");

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
