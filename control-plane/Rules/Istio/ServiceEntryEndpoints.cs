using System.Collections.Immutable;
using System.Globalization;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules.Documents;

namespace Mesh.ControlPlane.Rules.Istio;

/// <summary>The endpoints of a ServiceEntry. Pure but for the findings it adds.</summary>
internal static class ServiceEntryEndpoints
{
    private const int MostEndpoints = 1000;
    private const int MostWeight = 100_000;

    /// <summary>Reads <c>spec.endpoints</c>.</summary>
    /// <param name="spec">The specification.</param>
    /// <param name="resolution">Whether they are addresses or hosts.</param>
    /// <param name="ports">The ports of the service.</param>
    /// <param name="targets">The port behind each, unless an endpoint says another.</param>
    /// <param name="source">The document.</param>
    public static ImmutableArray<Instance> Read(Fields spec, string resolution, ImmutableArray<ServicePort> ports, ImmutableArray<int> targets, Provenance source)
    {
        var endpoints = ImmutableArray.CreateBuilder<Instance>();
        foreach (var item in spec.Objects("endpoints", MostEndpoints))
        {
            item.Require("address", "it is where to send to");
            var address = item.Text("address") ?? "";
            if (address.Length > 0 && Problem(address, resolution) is { } problem) item.Error("address", problem);
            item.NotYet("network", "networks are");
            item.NotYet("serviceAccount", "naming the identity of an endpoint is");
            var own = item.Object("ports");
            var numbers = ports.Select((port, i) => new InstancePort(port.Name, port.Port, port.Protocol, own?.Integer(port.Name, 1, 65535) ?? targets[i])).ToImmutableArray();
            own?.Done();
            var labels = item.Map("labels") ?? ImmutableSortedDictionary<string, string>.Empty;
            endpoints.Add(new Instance
            {
                Id = string.Create(CultureInfo.InvariantCulture, $"serviceentry/{source.Namespace}/{source.Name}/{endpoints.Count}"),
                Namespace = source.Namespace,
                Service = "",
                Address = address,
                Ports = numbers,
                Labels = labels,
                Version = labels.GetValueOrDefault("version", ""),
                Workload = address,
                Zone = Zone(item.Text("locality")),
                Weight = item.Integer("weight", 1, MostWeight) ?? 1,
                Source = source,
            });
            item.Done();
        }

        return endpoints.ToImmutable();
    }

    /// <summary>The host itself as its one endpoint.</summary>
    public static Instance Itself(string host, ImmutableArray<ServicePort> ports, ImmutableArray<int> targets, Provenance source) => new()
    {
        Id = $"serviceentry/{source.Namespace}/{source.Name}/{host}",
        Namespace = source.Namespace,
        Service = "",
        Address = host,
        Ports = [.. ports.Select((port, i) => new InstancePort(port.Name, port.Port, port.Protocol, targets[i]))],
        Workload = host,
        Source = source,
    };

    private static string? Problem(string address, string resolution)
    {
        if (address.StartsWith("unix:", StringComparison.Ordinal)) return "unix sockets are not supported yet: name an address";
        if (Formats.IsAddress(address)) return null;
        return resolution == "STATIC" ? $"must be an IP address with resolution STATIC, is \"{address}\": for a host write resolution: DNS" : Formats.ExternalHostProblem(address);
    }

    // region/zone/subzone
    private static string Zone(string? locality) => locality?.Split('/') is [_, var zone, ..] ? zone : "";
}
