using System.Collections.Immutable;
using System.Globalization;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules.Documents;

namespace Mesh.ControlPlane.Rules.Kubernetes;

/// <summary>EndpointSlice documents (discovery.k8s.io/v1). Pure but for the findings it adds.</summary>
internal static class EndpointSliceReader
{
    private const string ServiceLabel = "kubernetes.io/service-name";

    /// <summary>Reads a document; null when it cannot be used, which has been reported.</summary>
    public static EndpointSliceDocument? Read(Fields document)
    {
        var meta = ObjectMeta.Read(document, nameIsLabel: false);
        document.Require("addressType", "it is IPv4, IPv6 or FQDN");
        var type = document.Word("addressType", "IPv4", "IPv6", "FQDN");
        var source = new Provenance("EndpointSlice", meta.Namespace, meta.Name, $"{document.Findings.File}:{document.Line}");
        var ports = ReadPorts(document);
        var endpoints = ImmutableArray.CreateBuilder<Instance>();
        foreach (var item in document.Objects("endpoints", 1000))
        {
            if (ReadEndpoint(item, type, source, endpoints.Count) is { } endpoint) endpoints.Add(endpoint with { Ports = ports });
        }

        document.Done("apiVersion", "kind");
        if (meta.Labels.TryGetValue(ServiceLabel, out var service) && ServiceName.IsValid(service))
            return new EndpointSliceDocument { Service = new ServiceName(meta.Namespace, service), Endpoints = endpoints.ToImmutable(), Source = source };
        document.Findings.Error(document.LineOf("metadata"), $"metadata.labels[\"{ServiceLabel}\"]", "is missing or no service name: it says which service the endpoints belong to");
        return null;
    }

    private static ImmutableArray<InstancePort> ReadPorts(Fields document)
    {
        var ports = ImmutableArray.CreateBuilder<InstancePort>();
        foreach (var item in document.Objects("ports", 100))
        {
            item.Require("port", "without number nothing can be called");
            var name = item.Label("name") ?? "";
            var number = item.Integer("port", 1, 65535);
            var isTcp = PortProtocol.IsTcp(item);
            var protocol = PortProtocol.Read(item, name);
            item.Done();
            if (isTcp && number is { } known) ports.Add(new InstancePort(name, known, protocol, known));
        }

        return ports.ToImmutable();
    }

    private static Instance? ReadEndpoint(Fields item, string? type, Provenance slice, int index)
    {
        item.Require("addresses", "an endpoint has at least one");
        var addresses = item.Scalars("addresses", 100);
        for (var i = 0; i < addresses.Count; i++)
        {
            if (!Fits(addresses[i].Text, type))
                item.Findings.Error(addresses[i].Line, $"{item.PathOf("addresses")}[{i}]", $"must be an address of type {type}, is {addresses[i].Describe()}");
        }

        var health = ReadHealth(item);
        var zone = item.Text("zone") ?? "";
        var workload = item.Object("targetRef")?.Text("name") ?? "";
        var hostname = item.Label("hostname") ?? "";
        item.Done("nodeName", "hints", "deprecatedTopology");
        if (addresses.Count == 0) return null;
        return new Instance
        {
            Id = string.Create(CultureInfo.InvariantCulture, $"endpointslice/{slice.Namespace}/{slice.Name}/{index}"),
            Namespace = slice.Namespace,
            Service = "",
            Hostname = hostname,
            Address = addresses[0].Text,
            Ports = [],
            Workload = workload,
            Zone = zone,
            Health = health,
            Source = slice,
        };
    }

    // Not said is ready (Kubernetes: a nil condition is "unknown", to be taken for true).
    private static InstanceHealth ReadHealth(Fields item)
    {
        if (item.Object("conditions") is not { } conditions) return InstanceHealth.Passing;
        var ready = conditions.Boolean("ready") ?? true;
        conditions.Boolean("serving");
        var terminating = conditions.Boolean("terminating") ?? false;
        conditions.Done();
        if (terminating) return InstanceHealth.Draining;
        return ready ? InstanceHealth.Passing : InstanceHealth.Critical;
    }

    private static bool Fits(string address, string? type) => type switch
    {
        "IPv4" => Formats.IsAddress(address) && !address.Contains(':', StringComparison.Ordinal),
        "IPv6" => Formats.IsAddress(address) && address.Contains(':', StringComparison.Ordinal),
        "FQDN" => Uri.CheckHostName(address) == UriHostNameType.Dns && EndpointAddress.IsValid(address),
        _ => true,
    };
}
