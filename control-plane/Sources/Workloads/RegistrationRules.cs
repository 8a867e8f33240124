using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Mesh.Api.V1;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>What a registration may say. Pure: a registration becomes an instance, or words that say what is wrong with it.</summary>
internal static class RegistrationRules
{
    public const int MaxPorts = 12;
    public const int MaxLabels = 32;
    private const int MaxId = 100;
    private const int MaxLabelKey = 63;
    private const int MaxLabelValue = 256;
    private const int MaxDetail = 512;

    /// <summary>Checks a registration and turns it into an instance.</summary>
    /// <returns>Null when it is good, else why not.</returns>
    public static string? Check(Registration registration, out Instance? instance)
    {
        instance = null;
        var ns = registration.Namespace.Length == 0 ? ServiceName.DefaultNamespace : registration.Namespace;
        var problem = CheckNames(registration, ns) ?? CheckAddress(registration.Address) ?? CheckMore(registration) ?? CheckPorts(registration) ?? CheckDown(registration.PortsDown) ?? CheckCaptured(registration) ?? CheckLabels(registration);
        if (problem is not null) return problem;
        instance = new Instance
        {
            Id = registration.Id,
            Namespace = ns,
            Service = registration.Service,
            Address = Canonical(registration.Address),
            MoreAddresses = [.. registration.MoreAddresses.Select(more => Canonical(more.Address)).Where(more => more != Canonical(registration.Address)).Distinct(StringComparer.Ordinal)],
            Ports = WithDown([.. registration.Ports.Select(PortOf)], registration.PortsDown),
            Labels = Labels(registration),
            Workload = registration.Workload.Length > 0 ? registration.Workload : registration.Service.Length > 0 ? registration.Service : registration.Id,
            Version = registration.Version,
            Zone = registration.Zone,
            Health = HealthOf(registration.Health) ?? InstanceHealth.Passing,
            Meshed = true,
            Captured = registration.Captured,
            Source = MeshMeta.Source(registration.Service, ns),
        };
        return null;
    }

    /// <summary>Health as the model has it; null when none is said.</summary>
    public static InstanceHealth? HealthOf(Health.Types.State state) => state switch
    {
        Health.Types.State.Passing => InstanceHealth.Passing,
        Health.Types.State.Warning => InstanceHealth.Warning,
        Health.Types.State.Critical => InstanceHealth.Critical,
        _ => null,
    };

    /// <summary>The ports with word of which of them are down; numbers that are no ports of the application mean nothing.</summary>
    public static ImmutableArray<InstancePort> WithDown(ImmutableArray<InstancePort> ports, IReadOnlyCollection<uint> down) =>
        ports.All(port => port.IsDown == down.Contains((uint)port.AppPort)) ? ports : [.. ports.Select(port => port with { IsDown = down.Contains((uint)port.AppPort) })];

    /// <summary>Null when there are not more ports down than a workload has, else what is wrong.</summary>
    public static string? CheckDown(IReadOnlyCollection<uint> down) =>
        down.Count > MaxPorts ? $"{down.Count} ports_down: a workload has at most {MaxPorts} ports" : null;

    /// <summary>A bounded line of what the workload says about its health.</summary>
    public static string Detail(string text) =>
        new([.. text.Take(MaxDetail).Select(c => char.IsControl(c) ? ' ' : c)]);

    private static InstancePort PortOf(Port p) => new(p.Name, (int)p.Port_, MeshMeta.ReadProtocol(p.Protocol)!.Value, (int)p.ListenPort);

    // Rules of the kernel take what is sent to the application's own port; no other is anybody's to dial.
    private static string? CheckCaptured(Registration r) =>
        r.Captured && r.Ports.FirstOrDefault(p => p.ListenPort != p.Port_) is { } other
            ? $"listen_port {other.ListenPort} of port {other.Port_}: a captured workload is dialled at its application's own port"
            : null;

    private static string? CheckNames(Registration r, string ns)
    {
        if (r.Id.Length is 0 or > MaxId || !char.IsAsciiLetterOrDigit(r.Id[0]) || !r.Id.All(IsIdCharacter))
            return $"id '{Cut(r.Id)}': a workload id has 1 to {MaxId} letters, digits, '.', '_' or '-' and begins with a letter or digit";
        if (r is { Service.Length: 0, Ports.Count: > 0 }) return "service '' is empty: a workload with ports serves something";
        if (r is { Service.Length: > 0, Ports.Count: 0 } && !IsDnsLabel(r.Service)) return $"service '{Cut(r.Service)}' is not a DNS label (a-z, 0-9 and '-' inside, at most 63 characters)";
        if (r.Ports.Count > 0 && !IsDnsLabel(r.Service)) return $"service '{Cut(r.Service)}' is not a DNS label (a-z, 0-9 and '-' inside, at most 63 characters)";
        if (!IsDnsLabel(ns)) return $"namespace '{Cut(ns)}' is not a DNS label (a-z, 0-9 and '-' inside, at most 63 characters)";
        return CheckWord("version", r.Version) ?? CheckWord("zone", r.Zone) ?? CheckWord("workload", r.Workload);
    }

    /// <summary>These words become metric labels and header fields: no separators, no spaces.</summary>
    private static string? CheckWord(string what, string text) =>
        text.Length <= 63 && text.All(c => IsIdCharacter(c) || c == '+')
            ? null
            : $"{what} '{Cut(text)}': at most 63 letters, digits, '.', '_', '-' or '+'";

    private static string? CheckAddress(string text)
    {
        if (!IPAddress.TryParse(text, out var parsed) || (parsed.AddressFamily == AddressFamily.InterNetwork && parsed.ToString() != text))
            return $"address '{Cut(text)}' is not an IP address";
        if (parsed.AddressFamily == AddressFamily.InterNetworkV6 && parsed.ScopeId != 0)
            return $"address '{Cut(text)}' has a scope, which means nothing to others";
        if (parsed.Equals(IPAddress.Any) || parsed.Equals(IPAddress.IPv6Any) || parsed.IsIPv6Multicast || IsMulticast(parsed))
            return $"address '{text}' is not one that others can connect to; give the workload's own";
        return null;
    }

    private static string? CheckMore(Registration r)
    {
        if (r.MoreAddresses.Count > MeshMeta.MaxAddresses) return $"{r.MoreAddresses.Count} more_addresses: at most {MeshMeta.MaxAddresses} are taken";
        if (r.MoreAddresses.Count > 0 && !r.Captured) return "more_addresses: who is not captured is reached at the address of its ports";
        foreach (var more in r.MoreAddresses)
        {
            if (CheckAddress(more.Address) is { } problem) return $"more_addresses: {problem}";
            if (IPAddress.Parse(more.Address) is var address && (IPAddress.IsLoopback(address) || address.IsIPv6LinkLocal))
                return $"more_addresses: address '{more.Address}' is not one that others can connect to";
        }

        return null;
    }

    private static string? CheckPorts(Registration r)
    {
        if (r.Ports.Count > MaxPorts) return $"{r.Ports.Count} ports: at most {MaxPorts} are taken";
        foreach (var p in r.Ports)
            if (CheckPort(p) is { } problem) return problem;
        if (r.Ports.GroupBy(p => p.Port_).FirstOrDefault(g => g.Count() > 1) is { } twice) return $"port {twice.Key} is named twice";
        return r.Ports.Where(p => p.Name.Length > 0).GroupBy(p => p.Name, StringComparer.Ordinal).FirstOrDefault(g => g.Count() > 1) is { } name
            ? $"two ports are named '{name.Key}'" : null;
    }

    private static string? CheckPort(Port p)
    {
        if (p.Port_ is 0 or > 65535) return $"port {p.Port_} is not in 1 to 65535";
        if (p.ListenPort is 0 or > 65535) return $"listen_port {p.ListenPort} of port {p.Port_} is not in 1 to 65535";
        if (p.ListenAddress.Length > 0 && !IPAddress.TryParse(p.ListenAddress, out _))
            return $"listen_address '{Cut(p.ListenAddress)}' of port {p.Port_} is not an IP address";
        if (MeshMeta.ReadProtocol(p.Protocol) is null)
            return $"protocol '{Cut(p.Protocol)}' of port {p.Port_} is not one of http, http2, grpc, tcp or empty";
        return p.Name.Length > 0 && (p.Name.Length > 15 || !IsDnsLabel(p.Name))
            ? $"name '{Cut(p.Name)}' of port {p.Port_} is not a DNS label of at most 15 characters"
            : null;
    }

    private static string? CheckLabels(Registration r)
    {
        if (r.Labels.Count > MaxLabels) return $"{r.Labels.Count} labels: at most {MaxLabels} are taken";
        foreach (var (key, value) in r.Labels)
        {
            if (key.Length is 0 or > MaxLabelKey || !key.All(c => IsIdCharacter(c) || c == '/') || MeshMeta.LabelKey(key).Length > MeshMeta.MaxKey)
                return $"label '{Cut(key)}': a label's name has 1 to {MaxLabelKey} letters, digits, '.', '_', '-' or '/', of '.', '_' and '/' not above 20";
            if (value.Length > MaxLabelValue || value.Any(c => char.IsControl(c) || c > 126))
                return $"label '{Cut(key)}': its value has at most {MaxLabelValue} printable ASCII characters";
        }

        return null;
    }

    private static ImmutableSortedDictionary<string, string> Labels(Registration r)
    {
        var labels = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        foreach (var (key, value) in r.Labels) labels[key] = value;
        if (r.Service.Length > 0) labels.TryAdd("app", r.Service);
        if (r.Version.Length > 0) labels["version"] = r.Version;
        return labels.ToImmutable();
    }

    /// <summary>The one form of an address; one of IPv4 is one, however it is wrapped.</summary>
    public static string Canonical(string address) => IPAddress.Parse(address) is { IsIPv4MappedToIPv6: true } mapped ? mapped.MapToIPv4().ToString() : IPAddress.Parse(address).ToString();

    private static bool IsMulticast(IPAddress address) =>
        address.AddressFamily == AddressFamily.InterNetwork && address.GetAddressBytes()[0] >= 224;

    private static bool IsDnsLabel(string text) =>
        ServiceName.IsValid(text) && !text.Contains('_');

    private static bool IsIdCharacter(char c) => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-';

    private static string Cut(string text) => text.Length > 40 ? text[..40] + "..." : text;
}
