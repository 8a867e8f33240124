using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules.Documents;
using Mesh.ControlPlane.Rules.Kubernetes;

namespace Mesh.ControlPlane.Rules.Istio;

/// <summary>ServiceEntry documents (networking.istio.io/v1): hosts outside of the mesh, each a service of its own. Pure but for the findings it adds.</summary>
internal static class ServiceEntryReader
{
    /// <summary>The API group.</summary>
    public const string Group = "networking.istio.io";

    private const int MostHosts = 256;
    private const int MostAddresses = 250; // a name has 255 of a family at most
    private const int MostPorts = 250;

    /// <summary>Reads a document; empty when it cannot be used, which has been reported.</summary>
    public static IEnumerable<ServiceDocument> Read(Fields document)
    {
        var meta = ObjectMeta.Read(document, nameIsLabel: false);
        var spec = document.Required("spec", "it has the hosts");
        document.Done("apiVersion", "kind", "status");
        if (spec is null) return [];

        var source = new Provenance("ServiceEntry", meta.Namespace, meta.Name, $"{document.Findings.File}:{document.Line}");
        var hosts = ReadHosts(spec);
        var addresses = ReadAddresses(spec);
        var (ports, targets) = ReadPorts(spec);
        // Whose the hosts are changes nothing: a sidecar asks who is at an address before it sends plaintext there, and a workload of the mesh gets mutual TLS.
        spec.Word("location", "MESH_EXTERNAL", "MESH_INTERNAL");
        var resolution = spec.Word("resolution", "NONE", "STATIC", "DNS") ?? "NONE";
        var endpoints = ServiceEntryEndpoints.Read(spec, resolution, ports, targets, source);
        Check(spec, resolution, hosts, addresses, endpoints);
        spec.NotYet("workloadSelector", "selecting workloads is");
        spec.NotYet("subjectAltNames", "TLS of the sidecar's own towards hosts outside of the mesh is");
        if (spec.Scalars("exportTo", 100).Exists(space => space.Text != "*")) spec.Error("exportTo", "must be [\"*\"]: keeping hosts from namespaces is not supported yet");
        spec.Done();
        return hosts.Select(host => new ServiceDocument
        {
            Name = ServiceName.OfHost(host),
            Ports = ports,
            ClusterIPs = addresses,
            External = new ExternalPlace(Of(resolution), endpoints.IsEmpty && resolution == "DNS" ? [ServiceEntryEndpoints.Itself(host, ports, targets, source)] : endpoints),
            Source = source,
        });
    }

    private static ExternalResolution Of(string resolution) =>
        resolution switch { "DNS" => ExternalResolution.Dns, "STATIC" => ExternalResolution.Written, _ => ExternalResolution.ByClient };

    private static void Check(Fields spec, string resolution, List<string> hosts, ImmutableArray<string> addresses, ImmutableArray<Instance> endpoints)
    {
        if (resolution == "STATIC" && endpoints.IsEmpty) spec.Error("endpoints", "is missing: with resolution STATIC they are the addresses to send to");
        if (resolution == "NONE" && endpoints.Length > 0) spec.Error("endpoints", "have no meaning with resolution NONE, where clients choose the address: write resolution: STATIC, or DNS");
        if (resolution == "NONE" && addresses.IsEmpty)
            spec.Error("resolution", "NONE needs spec.addresses here, by which connections are told apart: name them, or write resolution: DNS");
        if (!addresses.IsEmpty && hosts.Count > 1) spec.Error("addresses", "mean one host: with several, write a document for each");
    }

    private static List<string> ReadHosts(Fields spec)
    {
        spec.Require("hosts", "they are the names that clients call");
        var hosts = new List<string>();
        var items = spec.Scalars("hosts", MostHosts);
        if (spec.Value("hosts") is SequenceNode && items.Count == 0) spec.Error("hosts", "must have at least one host");
        for (var i = 0; i < items.Count; i++)
        {
            if (Formats.ExternalHostProblem(items[i].Text) is { } problem) spec.Findings.Error(items[i].Line, $"{spec.PathOf("hosts")}[{i}]", problem);
            else hosts.Add(items[i].Text.ToLowerInvariant());
        }

        return hosts;
    }

    private static ImmutableArray<string> ReadAddresses(Fields spec)
    {
        var addresses = ImmutableArray.CreateBuilder<string>();
        var items = spec.Scalars("addresses", MostAddresses);
        for (var i = 0; i < items.Count; i++)
        {
            var text = items[i].Text;
            if (IPNetwork.TryParse(text, out var range) && range.PrefixLength == range.BaseAddress.GetAddressBytes().Length * 8) text = range.BaseAddress.ToString();
            if (!Formats.IsAddress(text))
                spec.Findings.Error(items[i].Line, $"{spec.PathOf("addresses")}[{i}]", text.Contains('/', StringComparison.Ordinal) ? $"the range {text} is not supported yet: name each address" : $"must be an IP address, is {items[i].Describe()}");
            else if (IsNobodys(IPAddress.Parse(text)))
                spec.Findings.Error(items[i].Line, $"{spec.PathOf("addresses")}[{i}]", $"{text} is no address of a host that connections go to: it stands for this machine, for any address or for many");
            else if (!addresses.Contains(text)) addresses.Add(text);
        }

        return addresses.ToImmutable();
    }

    // Of loopback, one is the sidecar's own: two of the same make data planes refuse all destinations.
    private static bool IsNobodys(IPAddress address) =>
        IPAddress.IsLoopback(address) || address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any) || address.IsIPv6Multicast
        || (address.IsIPv4MappedToIPv6 ? IsNobodys(address.MapToIPv4()) : address.GetAddressBytes() is [>= 224 and < 240, _, _, _] or [255, 255, 255, 255]);

    private static (ImmutableArray<ServicePort> Ports, ImmutableArray<int> Targets) ReadPorts(Fields spec)
    {
        spec.Require("ports", "without ports nobody can call the host");
        var ports = ImmutableArray.CreateBuilder<ServicePort>();
        var targets = ImmutableArray.CreateBuilder<int>();
        var items = spec.Objects("ports", MostPorts);
        if (spec.Value("ports") is SequenceNode && items.Count == 0) spec.Error("ports", "must have at least one port");
        foreach (var item in items)
        {
            item.Require("number", "it is the number clients use");
            item.Require("name", "endpoints name their ports by it");
            var name = item.Label("name") ?? "";
            var number = item.Integer("number", 1, 65535);
            var target = item.Integer("targetPort", 1, 65535);
            var protocol = Protocol(item, name);
            item.Done();
            if (protocol is not { } spoken || number is not { } known) continue;
            if (ports.Any(port => port.Name == name)) item.Error("name", $"two ports are called \"{name}\"");
            if (ports.Any(port => port.Port == known)) item.Error("number", $"two ports have the number {known}");
            ports.Add(new ServicePort(known, name, spoken, (target ?? known).ToString(CultureInfo.InvariantCulture)));
            targets.Add(target ?? known);
        }

        return (ports.ToImmutable(), targets.ToImmutable());
    }

    // In any case of letters, as Istio takes it. TLS of the application passes as bytes.
    private static AppProtocol? Protocol(Fields item, string name)
    {
        switch (item.Text("protocol")?.ToUpperInvariant())
        {
            case null: return PortProtocol.OfName(name);
            case "HTTP" or "GRPC-WEB": return AppProtocol.Http;
            case "HTTP2": return AppProtocol.Http2;
            case "GRPC": return AppProtocol.Grpc;
            case "HTTPS" or "TLS" or "TCP" or "MONGO" or "MYSQL" or "REDIS": return AppProtocol.Tcp;
            case "UDP":
                item.Warn("protocol", "the mesh carries TCP only: this UDP port is left out");
                return null;
            default:
                item.Error("protocol", $"must be HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO, MYSQL, REDIS or UDP, is \"{item.Text("protocol")}\"");
                return null;
        }
    }
}
