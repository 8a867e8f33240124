using System.Collections.Immutable;
using Mesh.Api.Identity;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>Consul's records -> instances. Pure: whatever a record holds, it becomes an entry, a reason why not, or silence when it is not for us.</summary>
internal static class EntryMapping
{
    private static readonly string[] VersionTags = ["version=", "v="];

    /// <summary>Maps the answer of health/service. Entries come out ordered, so that equal content is an equal list.</summary>
    public static ServiceView Map(string consulName, HealthEntry[]? answer)
    {
        var entries = new Dictionary<string, RegistryEntry>(StringComparer.Ordinal);
        var notices = ImmutableArray.CreateBuilder<Notice>();
        var source = MeshMeta.Source(consulName, ServiceName.DefaultNamespace);
        foreach (var record in answer ?? [])
        {
            // Consul's own mesh (proxies, gateways) is not a service of ours.
            if (record?.Service is not { } service || record.Node is not { } node || !string.IsNullOrEmpty(service.Kind)) continue;
            var (entry, reason) = MeshMeta.IsOurs(service.Meta)
                ? MapOurs(consulName, node, service, record.Checks)
                : MapForeign(consulName, node, service, record.Checks);
            if (entry is not null) entries[entry.Instance.Id] = entry;
            else notices.Add(new Notice(source, $"instance '{service.Id}' on node '{node.Name}' is left out: {reason}"));
        }

        return new ServiceView([.. entries.Values.OrderBy(e => e.Instance.Id, StringComparer.Ordinal)], notices.ToImmutable());
    }

    /// <summary>The name in the mesh of a service of Consul, or null when it cannot be the label of a host name.</summary>
    public static string? MeshName(string consulName)
    {
        var name = consulName.ToLowerInvariant();
        return ServiceName.IsValid(name) ? name : null;
    }

    private static (RegistryEntry? Entry, string Reason) MapOurs(
        string consulName, ConsulNode node, ConsulService service, ConsulCheck[]? checks)
    {
        var meta = service.Meta!;
        if (MeshMeta.ReadPorts(meta) is not { } ports)
        {
            var text = meta.GetValueOrDefault(MeshMeta.Ports);
            return (null, $"it says {MeshMeta.ExternalSource}={MeshMeta.Mesh}, but its {MeshMeta.Ports} '{text}' is not a list of name:port:protocol:port");
        }

        if (Address(node, service) is not { } address) return (null, "neither it nor its node has an address");
        if (!EndpointAddress.IsValid(address)) return (null, $"its address '{address}' is neither an IP address nor a host name");
        if (MeshName(consulName) is not { } name) return (null, "the service's name is not a DNS label");
        if (NamespaceOf(service) is not { } ns) return (null, NamespaceReason(service));
        if (IdentityOf(service, out var identity) is { } wrong) return (null, wrong);
        var instance = new Instance
        {
            Id = service.Id,
            Identity = identity,
            Namespace = ns,
            Service = name,
            Address = address,
            MoreAddresses = MeshMeta.ReadAddresses(meta),
            Ports = ports,
            Labels = MeshMeta.ReadLabels(meta),
            Workload = meta.GetValueOrDefault(MeshMeta.Workload) is { Length: > 0 } workload ? workload : name,
            Version = meta.GetValueOrDefault(MeshMeta.Version) ?? "",
            Zone = meta.GetValueOrDefault(MeshMeta.Zone) ?? "",
            Health = HealthOf(checks, ports.Any(port => port.IsDown) ? MeshMeta.CheckId(service.Id) : null),
            Meshed = true,
            Captured = meta.GetValueOrDefault(MeshMeta.Capture) == MeshMeta.Captured,
            Source = MeshMeta.Source(consulName, ns),
        };
        return (new RegistryEntry(instance, meta.GetValueOrDefault(MeshMeta.Owner) ?? "", service.ModifyIndex), "");
    }

    private static (RegistryEntry? Entry, string Reason) MapForeign(
        string consulName, ConsulNode node, ConsulService service, ConsulCheck[]? checks)
    {
        if (Address(node, service) is not { } address) return (null, "neither it nor its node has an address");
        if (!EndpointAddress.IsValid(address)) return (null, $"its address '{address}' is neither an IP address nor a host name");
        if (service.Port is <= 0 or > 65535) return (null, "it has no port");
        if (MeshName(consulName) is not { } name) return (null, "the service's name is not a DNS label, so no host name can name it");
        var health = HealthOf(checks);
        var version = VersionOf(service);
        if (NamespaceOf(service) is not { } ns) return (null, NamespaceReason(service));
        if (IdentityOf(service, out var identity) is { } wrong) return (null, wrong);
        var instance = new Instance
        {
            Identity = identity,

            // A service id is unique on its node only.
            Id = $"{node.Name}/{service.Id}",
            Namespace = ns,
            Service = name,
            Address = address,
            Ports = [new InstancePort("", service.Port, ProtocolOf(service), service.Port)],
            Labels = ForeignLabels(name, version, service.Meta),
            Workload = name,
            Version = version,
            Zone = service.Meta?.GetValueOrDefault(MeshMeta.Zone) ?? "",
            Health = health,
            Weight = Math.Max(1, (health == InstanceHealth.Warning ? service.Weights?.Warning : service.Weights?.Passing) ?? 1),
            Source = MeshMeta.Source(consulName, ns),
        };
        return (new RegistryEntry(instance, null, service.ModifyIndex), "");
    }

    private static string? NamespaceOf(ConsulService service)
    {
        if (service.Meta?.GetValueOrDefault(MeshMeta.Namespace) is not { Length: > 0 } given) return ServiceName.DefaultNamespace;
        return ServiceName.IsValid(given) ? given : null;
    }

    private static string NamespaceReason(ConsulService service) =>
        $"its {MeshMeta.Namespace} '{service.Meta!.GetValueOrDefault(MeshMeta.Namespace)}' is not a DNS label in lower case";

    // A claim of whoever writes to Consul: clients then expect a certificate of the service's own identities, which the claim cannot choose.
    private static string? IdentityOf(ConsulService service, out string identity)
    {
        identity = service.Meta?.GetValueOrDefault(MeshMeta.Identity) ?? "";
        if (identity.Length == 0 || SpiffeId.TryParse(identity, out _, out var problem)) return null;
        return $"its {MeshMeta.Identity} is no identity: {problem}";
    }

    private static string? Address(ConsulNode node, ConsulService service) =>
        service.Address is { Length: > 0 } own ? own : node.Address is { Length: > 0 } ofNode ? ofNode : null;

    /// <summary>
    /// The worst check counts. A word nobody knows is no proof of health. Our own check warns when single ports are down; that is said of them.
    /// </summary>
    private static InstanceHealth HealthOf(ConsulCheck[]? checks, string? ofPorts = null)
    {
        var worst = InstanceHealth.Passing;
        foreach (var check in checks ?? [])
        {
            var health = check?.Status switch
            {
                "passing" => InstanceHealth.Passing,
                "warning" when ofPorts is not null && check.Id == ofPorts => InstanceHealth.Passing,
                "warning" => InstanceHealth.Warning,
                _ => InstanceHealth.Critical,
            };
            if (health > worst) worst = health;
        }

        return worst;
    }

    private static AppProtocol ProtocolOf(ConsulService service)
    {
        if (service.Meta?.GetValueOrDefault("protocol") is { Length: > 0 } declared)
            return MeshMeta.ReadProtocol(declared) ?? AppProtocol.Unknown;
        foreach (var tag in service.Tags ?? [])
            if (tag is "http" or "http2" or "grpc" or "tcp") return MeshMeta.ReadProtocol(tag)!.Value;
        return AppProtocol.Unknown;
    }

    private static string VersionOf(ConsulService service)
    {
        if (service.Meta?.GetValueOrDefault(MeshMeta.Version) is { Length: > 0 } version) return version;
        foreach (var tag in service.Tags ?? [])
            foreach (var prefix in VersionTags)
                if (tag is not null && tag.StartsWith(prefix, StringComparison.OrdinalIgnoreCase)) return tag[prefix.Length..];
        return "";
    }

    private static ImmutableSortedDictionary<string, string> ForeignLabels(string service, string version, Dictionary<string, string>? meta)
    {
        var labels = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        foreach (var (key, value) in meta ?? []) labels[key] = value ?? ""; // A null is a registry's word for nothing.
        labels.TryAdd("app", service);
        if (version.Length > 0) labels["version"] = version;
        return labels.ToImmutable();
    }
}
