using System.Collections.Frozen;
using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model.Policies;

/// <summary>
/// Who may serve what: the only place that decides it, for registrations and for what clients expect. In this order: a ServiceIdentity
/// rule; what join tokens grant, and the accounts of the Pod documents that the service's document selects; else the account of the service's own
/// name. A service whose document selects the instances of another
/// (<c>selector: {app: cart}</c>) may be served by whoever may serve that one. Immutable.
/// </summary>
public sealed class ServiceAuthority
{
    private readonly string trustDomain;
    private readonly FrozenDictionary<ServiceName, ImmutableArray<string>> named;
    private readonly FrozenDictionary<ServiceName, ImmutableArray<string>> granted;
    private readonly FrozenDictionary<ServiceName, ServiceName> selected;
    private readonly FrozenSet<ServiceName> required;
    private readonly FrozenDictionary<string, Grant> grants;
    private readonly (Trust Trust, PolicySet Policies, RuleSet[] Sources) madeOf;

    private ServiceAuthority(Trust trust, PolicySet policies, RuleSet[] sources)
    {
        madeOf = (trust, policies, sources);
        var services = sources.SelectMany(source => source.Services);
        trustDomain = trust.Domain;
        named = policies.Identities.GroupBy(rule => rule.Service)
            .ToFrozenDictionary(rules => rules.Key, rules => Sorted(rules.First().Identities.Select(identity => IdentityName.Expand(identity, trust.Domain))));
        required = policies.Identities.Where(rule => rule.Required).Select(rule => rule.Service).ToFrozenSet();
        granted = trust.Grants.SelectMany(grant => grant.Serves.Select(service => (Service: service, grant.Identity))).Concat(OfPods(sources, trust.Domain))
            .GroupBy(pair => pair.Service).ToFrozenDictionary(pairs => pairs.Key, pairs => Sorted(pairs.Select(pair => pair.Identity)));
        grants = trust.Grants.DistinctBy(grant => grant.Identity).ToFrozenDictionary(grant => grant.Identity, StringComparer.Ordinal);
        selected = services.Where(service => SelectedBy(service) is not null).DistinctBy(service => service.Name)
            .ToFrozenDictionary(service => service.Name, service => SelectedBy(service)!.Value);
    }

    /// <summary>Nobody said anything: each service is served by the account of its name.</summary>
    public static ServiceAuthority Default { get; } = new(Trust.None, PolicySet.Empty, []);

    /// <summary>The identities that may serve a service, sorted; never empty.</summary>
    public ImmutableArray<string> ServingIdentities(ServiceName service)
    {
        if (named.TryGetValue(service, out var rule)) return rule;
        var own = granted.TryGetValue(service, out var grant) ? grant : [IdentityName.Default(trustDomain, service)];
        if (!selected.TryGetValue(service, out var app)) return own;
        return Sorted(own.Concat(Direct(app)));
    }

    /// <summary>True when the identity is one of those.</summary>
    public bool MayServe(string identity, ServiceName service) => ServingIdentities(service).Contains(identity, StringComparer.Ordinal);

    /// <summary>True when only endpoints that can prove an identity get the service's traffic.</summary>
    public bool IsRequired(ServiceName service) => required.Contains(service);

    /// <summary>What join tokens allow an identity, or null.</summary>
    public Grant? GrantOf(string identity) => grants.GetValueOrDefault(identity);

    /// <summary>The authority of a world; <paramref name="previous"/> when nothing it is made of changed.</summary>
    internal static ServiceAuthority From(Trust trust, PolicySet policies, IReadOnlyCollection<RuleSet> sources, ServiceAuthority previous)
    {
        var (oldTrust, oldPolicies, oldSources) = previous.madeOf;
        return ReferenceEquals(oldTrust, trust) && ReferenceEquals(oldPolicies, policies) && oldSources.SequenceEqual(sources, ReferenceEqualityComparer.Instance)
            ? previous
            : new ServiceAuthority(trust, policies, [.. sources]);
    }

    private ImmutableArray<string> Direct(ServiceName service) =>
        named.TryGetValue(service, out var rule) ? rule
        : granted.TryGetValue(service, out var grant) ? grant
        : [IdentityName.Default(trustDomain, service)];

    // Labels of a registration are the workload's own words; the selector is the operator's. So it says which service's identities are meant.
    private static ServiceName? SelectedBy(ServiceDocument service) =>
        service.Selector is { } selector && selector.TryGetValue("app", out var app) && app != service.Name.Name
            ? service.Name with { Name = app }
            : null;

    // A document of a pod is who runs it speaking, as labels of a registration are not: by both together a selector says whose identities are meant.
    private static IEnumerable<(ServiceName Service, string Identity)> OfPods(RuleSet[] sources, string trustDomain)
    {
        var pods = sources.SelectMany(source => source.Pods).Where(pod => pod.Account.Length > 0).ToLookup(pod => pod.Namespace, StringComparer.Ordinal);
        return from service in sources.SelectMany(source => source.Services)
               where service.Selector is { IsEmpty: false }
               from pod in pods[service.Name.Namespace]
               where WorkloadTraits.Of(pod).Carries(service.Selector!)
               select (service.Name, IdentityName.Of(trustDomain, pod.Namespace, pod.Account));
    }

    private static ImmutableArray<string> Sorted(IEnumerable<string> identities) =>
        [.. identities.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
}
