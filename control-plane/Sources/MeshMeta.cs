using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Text;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Sources;

/// <summary>
/// The words in which the mesh writes a workload into a registry's metadata and reads it back: the only place that knows the keys.
/// Pure. Consul allows 64 pairs, keys of [A-Za-z0-9_-] up to 128 and values up to 512 characters.
/// </summary>
internal static class MeshMeta
{
    public const string ExternalSource = "external-source";
    public const string Mesh = "mesh";
    public const string Owner = "mesh-owner";
    public const string Namespace = "mesh-namespace";
    public const string Workload = "mesh-workload";
    public const string Ports = "mesh-ports";
    public const string Addresses = "mesh-addresses";
    public const string PortsDown = "mesh-ports-down";
    public const string Identity = "mesh-identity";
    public const string Capture = "mesh-capture";
    public const string Captured = "all-ports";
    public const string Version = "version";
    public const string Zone = "zone";
    public const string LabelPrefix = "mesh-label-";
    public const string NodePrefix = "mesh-";
    public const string ReplicaKeys = "mesh/replicas/";
    /// <summary>Most addresses beside the first one.</summary>
    public const int MaxAddresses = 7;
    public const int MaxKey = 128;
    public const int MaxValue = 512;

    /// <summary>True when the mesh wrote it.</summary>
    public static bool IsOurs(IReadOnlyDictionary<string, string>? meta) => meta?.GetValueOrDefault(ExternalSource) == Mesh;

    /// <summary>Where an instance in the registry comes from: a name somebody can look up there.</summary>
    public static Provenance Source(string service, string @namespace) => new("ConsulService", @namespace, service, $"consul:{service}");

    /// <summary>The id of the check of a workload's health.</summary>
    public static string CheckId(string id) => $"mesh:{id}";

    /// <summary>The metadata of a workload's service record.</summary>
    public static Dictionary<string, string> Write(Instance instance, string owner)
    {
        var meta = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            [ExternalSource] = Mesh,
            [Owner] = owner,
            [Namespace] = instance.Namespace,
            [Workload] = instance.Workload,
            [Ports] = WritePorts(instance.Ports),
        };
        if (!instance.MoreAddresses.IsEmpty) meta[Addresses] = string.Join(',', instance.MoreAddresses);
        if (instance.Ports.Any(p => p.IsDown)) meta[PortsDown] = string.Join(',', instance.Ports.Where(p => p.IsDown).Select(p => p.AppPort));
        if (instance.Identity.Length > 0) meta[Identity] = instance.Identity;
        if (instance.Captured) meta[Capture] = Captured;
        if (instance.Version.Length > 0) meta[Version] = instance.Version;
        if (instance.Zone.Length > 0) meta[Zone] = instance.Zone;
        foreach (var (key, value) in instance.Labels) meta[LabelKey(key)] = value;
        return meta;
    }

    /// <summary><c>http:8080:http:41000,grpc:9090:grpc:41001</c>: name, the application's port, protocol, the port to connect to.</summary>
    public static string WritePorts(ImmutableArray<InstancePort> ports) =>
        string.Join(',', ports.Select(p => string.Create(CultureInfo.InvariantCulture, $"{p.Name}:{p.AppPort}:{WriteProtocol(p.Protocol)}:{p.Port}")));

    /// <summary>The ports of a service record with word of which are down; null when they are something else than what <see cref="Write"/> wrote.</summary>
    public static ImmutableArray<InstancePort>? ReadPorts(IReadOnlyDictionary<string, string> meta)
    {
        if (ReadPorts(meta.GetValueOrDefault(Ports)) is not { } ports) return null;
        if (meta.GetValueOrDefault(PortsDown) is not { Length: > 0 } text) return ports;
        var down = text.Split(',').Select(word => TryPort(word, out var port) ? port : 0).ToHashSet();
        return [.. ports.Select(port => down.Contains(port.AppPort) ? port with { IsDown = true } : port)];
    }

    /// <summary>The other addresses of a service record; what is no address, and what is more than a workload may have, is left out.</summary>
    public static ImmutableArray<string> ReadAddresses(IReadOnlyDictionary<string, string> meta) =>
        meta.GetValueOrDefault(Addresses) is not { Length: > 0 and <= MaxValue } text ? []
            : [.. text.Split(',').Select(word => IPAddress.TryParse(word, out var address) ? address.ToString() : "").Where(word => word.Length > 0).Distinct(StringComparer.Ordinal).Take(MaxAddresses)];

    /// <summary>Reads what <see cref="WritePorts"/> wrote; null when it is something else.</summary>
    public static ImmutableArray<InstancePort>? ReadPorts(string? text)
    {
        if (text is null) return null;
        if (text.Length == 0) return [];
        var ports = ImmutableArray.CreateBuilder<InstancePort>();
        foreach (var part in text.Split(','))
        {
            var words = part.Split(':');
            if (words.Length != 4 || !TryPort(words[1], out var app) || !TryPort(words[3], out var listen)) return null;
            if (ReadProtocol(words[2]) is not { } protocol) return null;
            ports.Add(new InstancePort(words[0], app, protocol, listen));
        }

        return ports.ToImmutable();
    }

    /// <summary>The labels among the metadata.</summary>
    public static ImmutableSortedDictionary<string, string> ReadLabels(IReadOnlyDictionary<string, string> meta)
    {
        var labels = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        foreach (var (key, value) in meta)
            if (key.StartsWith(LabelPrefix, StringComparison.Ordinal)) labels[Unescape(key[LabelPrefix.Length..])] = value;
        return labels.ToImmutable();
    }

    /// <summary>The metadata key of a label: what Consul does not take in a key is written as <c>_</c> and four hex digits.</summary>
    public static string LabelKey(string label)
    {
        var key = new StringBuilder(LabelPrefix, LabelPrefix.Length + label.Length);
        foreach (var c in label)
        {
            if (char.IsAsciiLetterOrDigit(c) || c == '-') key.Append(c);
            else key.Append('_').Append(((int)c).ToString("x4", CultureInfo.InvariantCulture));
        }

        return key.ToString();
    }

    /// <summary>A protocol as people write it, or null for a word nobody knows. Empty is "unknown".</summary>
    public static AppProtocol? ReadProtocol(string text) => text.ToLowerInvariant() switch
    {
        "" => AppProtocol.Unknown,
        "http" => AppProtocol.Http,
        "http2" or "h2c" => AppProtocol.Http2,
        "grpc" => AppProtocol.Grpc,
        "tcp" => AppProtocol.Tcp,
        _ => null,
    };

    private static string WriteProtocol(AppProtocol protocol) => protocol == AppProtocol.Unknown ? "" : protocol.ToString().ToLowerInvariant();

    private static string Unescape(string key)
    {
        if (!key.Contains('_')) return key;
        var label = new StringBuilder(key.Length);
        for (var i = 0; i < key.Length; i++)
        {
            if (key[i] == '_' && i + 4 < key.Length
                && ushort.TryParse(key.AsSpan(i + 1, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var code))
            {
                label.Append((char)code);
                i += 4;
            }
            else
            {
                label.Append(key[i]);
            }
        }

        return label.ToString();
    }

    private static bool TryPort(string text, out int port) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out port) && port is > 0 and <= 65535;
}
