using System.Collections.Immutable;
using System.Globalization;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Rules.Documents;
using Mesh.ControlPlane.Rules.Kubernetes;

namespace Mesh.ControlPlane.Rules.Policies;

/// <summary>PeerAuthentication documents (security.istio.io/v1). Pure but for the findings it adds.</summary>
internal static class PeerAuthenticationReader
{
    /// <summary>Reads a document; null when it cannot be used, which has been reported.</summary>
    public static PeerAuthentication? Read(Fields document)
    {
        var meta = ObjectMeta.Read(document, nameIsLabel: false);
        var spec = document.Object("spec");
        document.Done("apiVersion", "kind", "status");
        var selector = spec is null ? ImmutableSortedDictionary<string, string>.Empty : PolicyFormats.Selector(spec);
        var mode = spec?.Object("mtls") is { } mtls ? Mode(mtls) : null;
        var ports = spec is null ? ImmutableSortedDictionary<int, TlsMode?>.Empty : Ports(spec);
        if (spec is not null && !ports.IsEmpty && selector.IsEmpty)
            spec.Error("portLevelMtls", "needs a selector: ports are those of particular workloads");
        spec?.Done();
        return new PeerAuthentication
        {
            Name = meta.FullName,
            Selector = selector,
            Mode = mode,
            Ports = ports,
            Created = meta.Created,
            Source = new Provenance("PeerAuthentication", meta.Namespace, meta.Name, $"{document.Findings.File}:{document.Line}"),
        };
    }

    private static ImmutableSortedDictionary<int, TlsMode?> Ports(Fields spec)
    {
        var ports = ImmutableSortedDictionary.CreateBuilder<int, TlsMode?>();
        if (spec.Object("portLevelMtls") is not { } fields) return ports.ToImmutable();
        foreach (var key in fields.Names)
        {
            if (!int.TryParse(key, NumberStyles.None, CultureInfo.InvariantCulture, out var port) || port is < 1 or > 65535)
            {
                fields.Error(key, "must be a port of the application, 1 to 65535");
                _ = fields.Value(key);
            }
            else if (fields.Object(key) is { } mtls)
            {
                ports[port] = Mode(mtls);
            }
        }

        return ports.ToImmutable();
    }

    private static TlsMode? Mode(Fields mtls)
    {
        var mode = mtls.Word("mode", "UNSET", "DISABLE", "PERMISSIVE", "STRICT");
        mtls.Done();
        return mode switch
        {
            "DISABLE" => TlsMode.Disable,
            "PERMISSIVE" => TlsMode.Permissive,
            "STRICT" => TlsMode.Strict,
            _ => null,
        };
    }
}
