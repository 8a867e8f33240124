using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Compilation.Policies;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>Reads the mesh's part of an ADS node's metadata. Used on one thread, for one node.</summary>
internal sealed class NodeReader
{
    private const int LongestList = 1024;
    private const int LongestId = 1024;
    private const int LargestNode = 512 * 1024;
    private string error = "";
    private NodeCapture? captured;

    /// <summary>Reads <paramref name="node"/>; the first thing wrong ends it.</summary>
    public static bool TryRead(Node node, [NotNullWhen(true)] out NodeDescription? description, out string error)
    {
        var reader = new NodeReader();
        description = reader.Read(node);
        error = reader.error;
        if (error.Length != 0) description = null;
        return description is not null;
    }

    private NodeDescription Read(Node node)
    {
        // It is kept as long as its stream, and there are many.
        if (node.CalculateSize() is var size and > LargestNode) error = $"node is of {size} bytes, and {LargestNode} are taken: metadata is for what the mesh has to know";
        else if (node.Id.Length > LongestId) error = $"node.id has {node.Id.Length} characters, and {LongestId} are taken";
        if (node.Id.Length == 0) error = "node.id is empty: set it to sidecar~ADDRESS~WORKLOAD~NAMESPACE";
        var mesh = new Struct();
        if (node.Metadata is { } metadata && metadata.Fields.TryGetValue("mesh", out var value))
        {
            if (value.KindCase == Value.KindOneofCase.StructValue) mesh = value.StructValue;
            else Fail("", "must be a struct");
        }

        var workload = Text(mesh, "workload");
        var discover = Text(mesh, "discover");
        if (discover is not ("" or "all" or "declared")) Fail(".discover", $"must be \"all\" or \"declared\", is \"{discover}\"");
        var ns = Text(mesh, "namespace") is { Length: > 0 } said ? said : NamespaceOf(node.Id);
        if (!ServiceName.IsValid(ns)) Fail(".namespace", $"must be a DNS label (a-z, 0-9, -), is \"{ns}\"");
        var service = Text(mesh, "service") is { Length: > 0 } named ? named : node.Cluster;
        var isGrpc = node.UserAgentName.StartsWith("gRPC", StringComparison.OrdinalIgnoreCase);
        captured = ReadCapture(mesh, isGrpc);
        var certificates = Text(mesh, "certificates");
        if (certificates is not ("" or GrpcTls.Provider)) Fail(".certificates", $"must be \"{GrpcTls.Provider}\", the name of the provider instance, is \"{certificates}\"");
        return new NodeDescription
        {
            Id = node.Id,
            Emitter = isGrpc ? EmitterKind.Grpc : EmitterKind.Sidecar,
            UserAgent = node.UserAgentVersion.Length == 0 ? node.UserAgentName : $"{node.UserAgentName} {node.UserAgentVersion}",
            Service = service,
            Namespace = ns,
            Version = Text(mesh, "version"),
            Workload = workload,
            Zone = node.Locality?.Zone ?? "",
            Labels = Labels(mesh, service),
            HasCertificates = certificates.Length > 0,
            Ports = List(mesh, "ports", ReadPort),
            Outbound = mesh.Fields.ContainsKey("outbound") ? Address(mesh, "outbound", ".outbound") : captured?.Outbound.FirstOrDefault(),
            Capture = captured,
            Upstreams = List(mesh, "upstreams", ReadUpstream),
            DiscoverAll = discover != "declared",
        };
    }

    private static string NamespaceOf(string id)
    {
        var parts = id.Split('~');
        return parts.Length == 4 && parts[3].Length > 0 && parts[3] != "local" ? parts[3] : ServiceName.DefaultNamespace;
    }

    // The same as those of the instance that the workload registers.
    private ImmutableSortedDictionary<string, string> Labels(Struct mesh, string service)
    {
        var labels = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        if (mesh.Fields.TryGetValue("labels", out var value))
        {
            if (value.KindCase != Value.KindOneofCase.StructValue || value.StructValue.Fields.Count > LongestList) Fail(".labels", $"must be a struct of at most {LongestList} texts");
            foreach (var (key, label) in value.StructValue?.Fields ?? [])
            {
                if (label.KindCase == Value.KindOneofCase.StringValue) labels[key] = label.StringValue;
                else Fail($".labels[\"{key}\"]", "must be a string");
            }
        }

        if (service.Length > 0) labels.TryAdd("app", service);
        if (Text(mesh, "version") is { Length: > 0 } version) labels["version"] = version;
        return labels.ToImmutable();
    }

    private NodePort ReadPort(Struct item, string path)
    {
        var port = Port(item, "port", path) ?? Missing(path + ".port");
        return new NodePort(port, Text(item, "name"), Protocol(item, path) ?? AppProtocol.Unknown, ReadListen(item, path + ".listen"));
    }

    private HostPort? ReadListen(Struct item, string path)
    {
        if (captured is null or { Inbound.IsEmpty: true }) return Address(item, "listen", path);
        if (item.Fields.ContainsKey("listen")) Fail(path, "must not be there: capture.inbound takes the traffic of every port");
        return null;
    }

    private NodeCapture? ReadCapture(Struct mesh, bool isGrpc)
    {
        if (!mesh.Fields.TryGetValue("capture", out var value)) return null;
        if (value.KindCase != Value.KindOneofCase.StructValue) Fail(".capture", "must be a struct");
        if (isGrpc) Fail(".capture", "means nothing for a gRPC library, which has no listeners for it; leave it out");
        var capture = value.StructValue ?? new Struct();
        var mode = capture.Fields.GetValueOrDefault("mode")?.StringValue ?? "";
        if (mode is not ("redirect" or "tproxy")) Fail(".capture.mode", $"must be \"redirect\" or \"tproxy\", is \"{mode}\"");
        var outbound = Families(capture, "outbound");
        var inbound = Families(capture, "inbound");
        if (outbound.IsEmpty && inbound.IsEmpty) Fail(".capture", "has neither outbound nor inbound addresses: give at least one, or leave it out");
        // Whatever arrives there goes wherever it was meant to: that is for the application beside it alone.
        if (outbound.FirstOrDefault(address => !IPAddress.IsLoopback(IPAddress.Parse(address.Address))) is { } open) Fail(".capture.outbound", $"must be on loopback, is {open}");
        if (capture.Fields.TryGetValue("dns", out var dns) && dns.KindCase != Value.KindOneofCase.BoolValue) Fail(".capture.dns", "must be true or false");
        var ports = capture.Fields.GetValueOrDefault("ports")?.StringValue ?? "all";
        if (ports is not ("all" or "declared")) Fail(".capture.ports", $"must be \"all\" or \"declared\", is \"{ports}\"");
        return new NodeCapture(mode == "tproxy", outbound, inbound, dns?.BoolValue ?? false) { DeclaredOnly = ports == "declared" };
    }

    private ImmutableArray<HostPort> Families(Struct capture, string key)
    {
        var path = $".capture.{key}";
        if (!capture.Fields.TryGetValue(key, out var value)) return [];
        if (value.KindCase != Value.KindOneofCase.ListValue || value.ListValue.Values.Count > 2) Fail(path, "must be a list of one or two IP:PORT");
        var addresses = (value.ListValue?.Values ?? []).Take(2).Select((item, i) => Address(item.StringValue, $"{path}[{i}]")).ToImmutableArray();
        if (addresses is [var one, var other] && one.IsV6 == other.IsV6) Fail(path, "has two addresses of one family: give one of each");
        return addresses;
    }

    private NodeUpstream ReadUpstream(Struct item, string path)
    {
        var service = Text(item, "service");
        if (service.Length == 0) Fail(path + ".service", "is missing");
        return new NodeUpstream(service, Port(item, "port", path), Address(item, "listen", path + ".listen"), Protocol(item, path));
    }

    private int Missing(string path)
    {
        Fail(path, "is missing");
        return 0;
    }

    private string Text(Struct from, string key)
    {
        if (!from.Fields.TryGetValue(key, out var value)) return "";
        if (value.KindCase == Value.KindOneofCase.StringValue) return value.StringValue;
        Fail("." + key, "must be a string");
        return "";
    }

    private int? Port(Struct from, string key, string path)
    {
        if (!from.Fields.TryGetValue(key, out var value)) return null;
        if (value is { KindCase: Value.KindOneofCase.NumberValue, NumberValue: >= 1 and <= 65535 } && value.NumberValue == Math.Floor(value.NumberValue))
            return (int)value.NumberValue;
        Fail($"{path}.{key}", "must be a port number, 1 to 65535");
        return null;
    }

    private AppProtocol? Protocol(Struct from, string path)
    {
        var text = Text(from, "protocol");
        if (text.Length == 0) return null;
        var protocol = ProtocolText.Parse(text);
        if (protocol is null) Fail(path + ".protocol", $"must be http, http2, grpc, tcp or unknown, is \"{text}\"");
        return protocol;
    }

    private HostPort Address(Struct from, string key, string path) => Address(Text(from, key), path);

    private HostPort Address(string text, string path)
    {
        if (IPEndPoint.TryParse(text, out var parsed) && parsed.Port != 0) return new HostPort(parsed.Address.ToString(), parsed.Port);
        Fail(path, $"must be the bound IP:PORT, is \"{text}\"");
        return new HostPort("127.0.0.1", 1);
    }

    private ImmutableArray<T> List<T>(Struct from, string key, Func<Struct, string, T> read)
    {
        if (!from.Fields.TryGetValue(key, out var value)) return [];
        if (value.KindCase != Value.KindOneofCase.ListValue || value.ListValue.Values.Count > LongestList)
        {
            Fail("." + key, $"must be a list of at most {LongestList} structs");
            return [];
        }

        var items = ImmutableArray.CreateBuilder<T>(value.ListValue.Values.Count);
        foreach (var item in value.ListValue.Values)
        {
            var path = $".{key}[{items.Count}]";
            if (item.KindCase != Value.KindOneofCase.StructValue) Fail(path, "must be a struct");
            items.Add(read(item.StructValue ?? new Struct(), path));
        }

        return items.ToImmutable();
    }

    private void Fail(string path, string what)
    {
        if (error.Length == 0) error = $"node.metadata.mesh{path} {what}";
    }
}
