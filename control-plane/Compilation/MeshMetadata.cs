using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Compilation.Policies;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>What resources say about themselves in <c>metadata.filter_metadata</c>: where they were written, whom they stand for. Pure.</summary>
internal static class MeshMetadata
{
    /// <summary>Metadata with the place a route was written.</summary>
    public static Metadata Of(Provenance source) => new() { FilterMetadata = { ["mesh.source"] = Source(source) } };

    /// <summary>Metadata of a cluster: its service port, and where that was written.</summary>
    public static Metadata Of(Service service, ResolvedPort port)
    {
        var metadata = Of(service.Name, port.Port, port.Protocol);
        var fields = metadata.FilterMetadata["mesh.service"].Fields;
        if (service.External is not null) fields["external"] = Value.ForBool(true);
        // A host is in no namespace: metrics show that of who declared it.
        if (service.Name.IsHost) fields["namespace"] = Value.ForString(service.Source.Namespace);
        metadata.FilterMetadata["mesh.source"] = Source(service.Source);
        return metadata;
    }

    /// <summary>Metadata of the cluster before the node's own application: the service it is part of, so that both ends count on the same one.</summary>
    public static Metadata Of(ServiceName service, int port, AppProtocol protocol) => new()
    {
        FilterMetadata =
        {
            ["mesh.service"] = new Struct
            {
                Fields =
                {
                    ["host"] = Value.ForString(service.Host),
                    ["name"] = Value.ForString(service.Name),
                    ["namespace"] = Value.ForString(service.Namespace),
                    ["port"] = Value.ForNumber(port),
                    ["protocol"] = Value.ForString(ProtocolText.Of(protocol)),
                },
            },
        },
    };

    /// <summary>Metadata of an endpoint: the workload behind it, whether it takes mutual TLS, and the identity that exactly this one proves, when known.</summary>
    public static Metadata Of(Instance instance, bool mutualTls, string identity)
    {
        var metadata = new Metadata();
        if (mutualTls) metadata.FilterMetadata[TlsCompiler.EndpointMatchKey] = TlsCompiler.EndpointMatch();
        var workload = new Struct { Fields = { ["id"] = Value.ForString(instance.Id) } };
        // Fields are filled in sorted order.
        if (identity.Length > 0) workload.Fields["identity"] = Value.ForString(identity);
        workload.Fields.Add(new Dictionary<string, Value>(StringComparer.Ordinal)
        {
            ["namespace"] = Value.ForString(instance.Namespace),
            ["service"] = Value.ForString(instance.Service),
            ["version"] = Value.ForString(instance.Version),
            ["workload"] = Value.ForString(instance.Workload.Length > 0 ? instance.Workload : instance.Service),
            ["zone"] = Value.ForString(instance.Zone),
        });
        metadata.FilterMetadata["mesh.workload"] = workload;
        return metadata;
    }

    private static Struct Source(Provenance source)
    {
        var fields = new Struct
        {
            Fields =
            {
                ["kind"] = Value.ForString(source.Kind),
                ["location"] = Value.ForString(source.Location),
                ["name"] = Value.ForString(source.Name),
                ["namespace"] = Value.ForString(source.Namespace),
            },
        };
        if (source.Rule is { } rule) fields.Fields["rule"] = Value.ForNumber(rule);
        return fields;
    }
}
