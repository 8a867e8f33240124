using System.Net;
using System.Net.Sockets;
using Mesh.ControlPlane.Sources.Registry.Checks;
using Mesh.ControlPlane.Sources.Registry.Json;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>A check as the catalog shows it and as the agent runs it. Immutable.</summary>
internal sealed record AgentCheck(CheckEntry Entry, CheckDefinition Definition);

/// <summary>Reads registrations of services and checks with the agent, by Consul's rules. Stateless.</summary>
internal static class AgentRegistration
{
    private static readonly TimeSpan MinInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MinDeregisterAfter = TimeSpan.FromMinutes(1);

    public static ServiceEntry ServiceOf(AgentServiceRegistration wanted)
    {
        var address = wanted.Address ?? "";
        if (address is "0.0.0.0" or "::" or "[::]") throw new Refusal(400, "Invalid service address");
        ServiceMeta.Require(wanted.Meta);
        var weights = Entry.Of(wanted.Weights);
        if (weights.Passing < 1) throw new Refusal(400, "Invalid Weights: Passing must be greater than 0");
        if (weights.Warning < 0) throw new Refusal(400, "Invalid Weights: Warning must be greater or equal than 0");
        return new ServiceEntry
        {
            Id = string.IsNullOrEmpty(wanted.ID) ? wanted.Name! : wanted.ID,
            Name = wanted.Name!,
            Address = address,
            Port = wanted.Port ?? 0,
            Tags = wanted.Tags ?? [],
            Meta = wanted.Meta ?? Map.Empty<string>(),
            TaggedAddresses = WithOwnAddress(Entry.Of(wanted.TaggedAddresses), address, wanted.Port ?? 0),
            Weights = weights,
            EnableTagOverride = wanted.EnableTagOverride ?? false,
        };
    }

    public static IReadOnlyList<AgentCheck> ChecksOf(AgentServiceRegistration wanted, ServiceEntry service)
    {
        AgentCheckRequest[] all = [.. wanted.Check is null || wanted.Check == new AgentCheckRequest() ? [] : (AgentCheckRequest[])[wanted.Check], .. wanted.Checks ?? []];
        return [.. all.Select((check, i) => CheckOf(check, service, all.Length == 1 ? $"service:{service.Id}" : $"service:{service.Id}:{i + 1}"))];
    }

    /// <summary>A check that is registered by itself.</summary>
    public static AgentCheck CheckOf(AgentCheckRegistration wanted)
    {
        var id = new[] { wanted.ID, wanted.CheckID, wanted.Name }.First(n => !string.IsNullOrEmpty(n))!;
        var check = Read(wanted, id, wanted.Name!);
        var entry = check.Entry with
        {
            ServiceId = wanted.ServiceID ?? "",
            Interval = GoDuration.Format(wanted.Interval ?? default),
            Timeout = GoDuration.Format(wanted.Timeout ?? default),
        };
        return check with { Entry = entry };
    }

    /// <summary>Adds a check; one of that ID that is there already keeps the state it is in.</summary>
    public static string? Apply(RegistryDraft draft, AgentCheck check)
    {
        var node = draft.State.AgentNode;
        var known = draft.State.Nodes[node].Checks.GetValueOrDefault(check.Entry.Id);
        var entry = check.Entry with { Node = node, Status = known?.Status ?? check.Entry.Status, Output = known?.Output ?? "" };
        if (draft.SetCheck(entry) is { } wrong) return wrong;
        draft.OwnCheck(check.Definition);
        return null;
    }

    private static AgentCheck CheckOf(AgentCheckRequest wanted, ServiceEntry service, string defaultId)
    {
        var check = Read(wanted, string.IsNullOrEmpty(wanted.CheckID) ? defaultId : wanted.CheckID, $"Service '{service.Name}' check");
        return check with { Entry = check.Entry with { ServiceId = service.Id } };
    }

    private static AgentCheck Read(AgentCheckRequest wanted, string id, string defaultName)
    {
        var kind = !string.IsNullOrEmpty(wanted.HTTP) ? CheckKind.Http : !string.IsNullOrEmpty(wanted.TCP) ? CheckKind.Tcp : CheckKind.Ttl;
        RequireTimes(wanted, kind);
        var status = string.IsNullOrEmpty(wanted.Status) ? CheckStatus.Critical : wanted.Status;
        if (!CheckStatus.IsKnown(status)) throw new Refusal(400, "Status for checks must 'passing', 'warning', 'critical'");
        var entry = new CheckEntry
        {
            Node = "",
            Id = id,
            Name = string.IsNullOrEmpty(wanted.Name) ? defaultName : wanted.Name,
            Status = status,
            Notes = wanted.Notes ?? "",
            Type = kind.ToString().ToLowerInvariant(),
            Interval = TextOf(wanted.Interval),
            Timeout = TextOf(wanted.Timeout),
        };
        return new AgentCheck(entry, DefinitionOf(wanted, kind, id));
    }

    private static CheckDefinition DefinitionOf(AgentCheckRequest wanted, CheckKind kind, string id) => new()
    {
        CheckId = id,
        Kind = kind,
        Target = kind switch { CheckKind.Http => wanted.HTTP!, CheckKind.Tcp => wanted.TCP!, _ => "" },
        Request = kind == CheckKind.Http ? RequestOf(wanted) : null,
        Period = kind == CheckKind.Ttl ? wanted.TTL!.Value : Max(wanted.Interval!.Value, MinInterval),
        Timeout = wanted.Timeout is { } timeout && timeout > TimeSpan.Zero ? timeout : CheckDefinition.DefaultTimeout,
        DeregisterAfter = wanted.DeregisterCriticalServiceAfter is { } after && after > TimeSpan.Zero ? Max(after, MinDeregisterAfter) : TimeSpan.Zero,
        SuccessBeforePassing = wanted.SuccessBeforePassing ?? 0,
        FailuresBeforeWarning = wanted.FailuresBeforeWarning ?? wanted.FailuresBeforeCritical ?? 0,
        FailuresBeforeCritical = wanted.FailuresBeforeCritical ?? 0,
        OutputLimit = wanted.OutputMaxSize is > 0 and <= 4096 ? wanted.OutputMaxSize.Value : 4096,
    };

    private static HttpCheckRequest RequestOf(AgentCheckRequest wanted)
    {
        if (!Uri.TryCreate(wanted.HTTP, UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https"))
            throw new Refusal(400, $"Invalid check: \"{wanted.HTTP}\" is not an http or https URL");
        return new HttpCheckRequest
        {
            Method = string.IsNullOrEmpty(wanted.Method) ? "GET" : wanted.Method,
            Headers = (wanted.Header ?? []).ToDictionary(h => h.Key, h => (IReadOnlyList<string>)h.Value, StringComparer.OrdinalIgnoreCase),
            Body = wanted.Body ?? "",
            FollowsRedirects = wanted.DisableRedirects != true,
            VerifiesCertificate = wanted.TLSSkipVerify != true,
        };
    }

    private static void RequireTimes(AgentCheckRequest wanted, CheckKind kind)
    {
        var hasInterval = wanted.Interval is { } interval && interval > TimeSpan.Zero;
        var hasTtl = wanted.TTL is { } ttl && ttl > TimeSpan.Zero;
        if (hasInterval && hasTtl) throw new Refusal(400, "Invalid check: Interval and TTL cannot both be specified");
        if (kind != CheckKind.Ttl && !hasInterval)
            throw new Refusal(400, "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks");
        if (kind == CheckKind.Ttl && !hasTtl) throw new Refusal(400, "Invalid check: TTL must be > 0 for TTL checks");
    }

    /// <summary>A service with an IP address is found under it by its family's names too.</summary>
    private static IReadOnlyDictionary<string, ServiceAddress> WithOwnAddress(IReadOnlyDictionary<string, ServiceAddress> tagged, string address, int port)
    {
        if (!IPAddress.TryParse(address, out var ip)) return tagged;
        var family = ip.AddressFamily == AddressFamily.InterNetworkV6 ? "ipv6" : "ipv4";
        var all = new Dictionary<string, ServiceAddress>(tagged, StringComparer.Ordinal);
        foreach (var name in (string[])[$"lan_{family}", $"wan_{family}"]) all.TryAdd(name, new ServiceAddress(address, port));
        return all;
    }

    private static string TextOf(TimeSpan? time) => time is { } some && some != TimeSpan.Zero ? GoDuration.Format(some) : "";

    private static TimeSpan Max(TimeSpan a, TimeSpan b) => a > b ? a : b;
}
