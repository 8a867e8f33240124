using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.Sidecar.Balancing;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>Reads the metadata the control plane attaches: provenance, labels of services and workloads. Pure; wrong shapes read as absent.</summary>
internal static class SourceText
{
    /// <summary><c>HTTPRoute shop/canary rule 0 (rules/shop.yaml:12)</c>, or empty.</summary>
    public static string Of(Metadata? metadata)
    {
        if (Section(metadata, "mesh.source") is not { } source) return "";
        var text = new StringBuilder(Text(source, "kind"));
        if (Text(source, "name") is { Length: > 0 } name)
        {
            text.Append(text.Length > 0 ? " " : "");
            text.Append(Text(source, "namespace") is { Length: > 0 } space ? $"{space}/{name}" : name);
        }

        if (source.Fields.TryGetValue("rule", out var rule) && rule.KindCase != Value.KindOneofCase.NullValue) text.Append(" rule ").Append(Text(source, "rule"));
        if (Text(source, "location") is { Length: > 0 } location) text.Append(text.Length > 0 ? $" ({location})" : location);
        return text.ToString();
    }

    /// <summary>The service a cluster stands for.</summary>
    public static ServiceLabels Service(Metadata? metadata)
    {
        if (Section(metadata, "mesh.service") is not { } service) return ServiceLabels.None;
        var port = int.TryParse(Text(service, "port"), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;
        return new ServiceLabels(Known(service, "host"), Known(service, "name"), Known(service, "namespace"), port);
    }

    /// <summary>Whether a cluster's service is outside of the mesh: <c>mesh.service{external: true}</c>.</summary>
    public static bool IsExternal(Metadata? metadata) =>
        Section(metadata, "mesh.service") is { } service && service.Fields.TryGetValue("external", out var on) && on is { KindCase: Value.KindOneofCase.BoolValue, BoolValue: true };

    /// <summary>The workload behind an endpoint.</summary>
    public static PeerLabels Peer(Metadata? metadata)
    {
        if (Section(metadata, "mesh.workload") is not { } workload) return PeerLabels.Unknown;
        var name = Text(workload, "workload") is { Length: > 0 } given ? given : Known(workload, "id");
        return new PeerLabels(name, Known(workload, "namespace"), Known(workload, "service"), Known(workload, "version"));
    }

    /// <summary>The SPIFFE ID of the workload behind an endpoint, empty when it is not said.</summary>
    public static string Identity(Metadata? metadata) => Section(metadata, "mesh.workload") is { } workload ? Text(workload, "identity") : "";

    /// <summary>What the port of a cluster's service was declared to speak.</summary>
    public static AppProtocol Spoken(Metadata? metadata) => Section(metadata, "mesh.service") is not { } service ? AppProtocol.Unknown : Text(service, "protocol") switch
    {
        "http" or "http2" or "grpc" => AppProtocol.Http,
        "tcp" => AppProtocol.Tcp,
        _ => AppProtocol.Unknown,
    };

    /// <summary>What an endpoint says for the choice among its cluster's transport sockets; empty when it says nothing.</summary>
    public static ImmutableArray<KeyValuePair<string, string>> SocketMatch(Metadata? metadata, Field field) =>
        Section(metadata, "envoy.transport_socket_match") is { } section ? Flat(section, field) : [];

    /// <summary>Fields with plain values, sorted; others are errors.</summary>
    public static ImmutableArray<KeyValuePair<string, string>> Flat(Struct? fields, Field field)
    {
        if (fields is null) return [];
        foreach (var (key, value) in fields.Fields)
        {
            if (value.KindCase is not (Value.KindOneofCase.StringValue or Value.KindOneofCase.NumberValue)) field.Error(key, "must be a string or a number");
        }

        return [.. fields.Fields.Keys.Order(StringComparer.Ordinal).Select(k => KeyValuePair.Create(k, Text(fields, k)))];
    }

    /// <summary>Where each authorization policy of a listener was written, by its key.</summary>
    public static FrozenDictionary<string, string> Policies(Metadata? metadata) =>
        Section(metadata, "mesh.policies") is not { } policies
            ? FrozenDictionary<string, string>.Empty
            : policies.Fields.ToFrozenDictionary(f => f.Key, f => Text(policies, f.Key), StringComparer.Ordinal);

    /// <summary>Whether refusals by policy tell their client which: <c>mesh.authz{denied_by_header: true}</c>. Off unless it is said.</summary>
    public static bool NamesDenyingPolicy(Metadata? metadata) =>
        Section(metadata, "mesh.authz") is { } authz && authz.Fields.TryGetValue("denied_by_header", out var on) && on is { KindCase: Value.KindOneofCase.BoolValue, BoolValue: true };

    private static Struct? Section(Metadata? metadata, string name) =>
        metadata is not null && metadata.FilterMetadata.TryGetValue(name, out var section) ? section : null;

    private static string Known(Struct section, string field) => Text(section, field) is { Length: > 0 } text ? text : "unknown";

    private static string Text(Struct section, string field) =>
        !section.Fields.TryGetValue(field, out var value) ? "" : value.KindCase switch
        {
            Value.KindOneofCase.StringValue => value.StringValue,
            Value.KindOneofCase.NumberValue => value.NumberValue.ToString(CultureInfo.InvariantCulture),
            _ => "",
        };
}
