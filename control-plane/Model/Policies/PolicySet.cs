using System.Collections.Immutable;
using System.Globalization;

namespace Mesh.ControlPlane.Model.Policies;

/// <summary>
/// All policies of the mesh, and which of them hold for a workload. Immutable; while no document changes, it is the same object, so that
/// what is made of it can be kept.
/// </summary>
public sealed class PolicySet
{
    /// <summary>Policies of this namespace hold for the whole mesh.</summary>
    public const string RootNamespace = "mesh-system";

    private readonly ILookup<string, AuthorizationPolicy> authorizationByNamespace;
    private readonly ILookup<string, PeerAuthentication> authenticationByNamespace;

    private PolicySet(Documents documents)
    {
        Content = documents;
        authorizationByNamespace = documents.Authorization.ToLookup(policy => policy.Name.Namespace, StringComparer.Ordinal);
        authenticationByNamespace = documents.Authentication
            .OrderBy(policy => policy.Created ?? DateTimeOffset.MaxValue).ThenBy(policy => policy.Name)
            .ToLookup(policy => policy.Name.Namespace, StringComparer.Ordinal);
    }

    /// <summary>No policies.</summary>
    public static PolicySet Empty { get; } = new(new Documents([], [], [], []));

    /// <summary>ServiceIdentity documents.</summary>
    public ImmutableArray<ServiceIdentity> Identities => Content.Identities;

    /// <summary>PeerAuthentication documents.</summary>
    public ImmutableArray<PeerAuthentication> Authentication => Content.Authentication;

    /// <summary>AuthorizationPolicy documents.</summary>
    public ImmutableArray<AuthorizationPolicy> Authorization => Content.Authorization;

    /// <summary>True when there are none.</summary>
    public bool IsEmpty => Identities.IsEmpty && Authentication.IsEmpty && Authorization.IsEmpty;

    private Documents Content { get; }

    /// <summary>The policies of some documents; <paramref name="previous"/> when those are the same.</summary>
    internal static PolicySet From(IReadOnlyCollection<RuleSet> sources, PolicySet previous)
    {
        if (previous.IsEmpty && sources.All(set => set.ServiceIdentities.IsEmpty && set.PeerAuthentications.IsEmpty && set.AuthorizationPolicies.IsEmpty)) return previous;
        var authorization = Distinct(sources.SelectMany(set => set.AuthorizationPolicies), policy => policy.Name);
        var targets = authorization.SelectMany(policy => policy.Targets).ToHashSet();
        var documents = new Documents(
            Distinct(sources.SelectMany(set => set.ServiceIdentities), policy => policy.Name),
            Distinct(sources.SelectMany(set => set.PeerAuthentications), policy => policy.Name),
            authorization,
            [.. sources.SelectMany(set => set.Services).Where(service => targets.Contains(service.Name)).DistinctBy(service => service.Name)]);
        return documents.Same(previous.Content) ? previous : new PolicySet(documents);
    }

    /// <summary>The AuthorizationPolicies that hold for a workload, those of the whole mesh first.</summary>
    public IEnumerable<AuthorizationPolicy> AuthorizationOf(WorkloadTraits workload) =>
        Of(authorizationByNamespace, workload.Namespace).Where(policy => Selects(policy, workload));

    /// <summary>How connections to a port of a workload's application may arrive: its own policy, else its namespace's, else the mesh's, else permissive.</summary>
    public TlsMode ModeOf(WorkloadTraits workload, int appPort) => Deciding(workload, appPort) is var (_, mode) ? mode : TlsMode.Permissive;

    /// <summary>The policy that decides the mode of a port, and the mode; null when none does.</summary>
    public (PeerAuthentication Policy, TlsMode Mode)? Deciding(WorkloadTraits workload, int appPort)
    {
        // Of each width the oldest counts, as in Istio; what it leaves open the next wider one decides.
        var own = OwnAuthentication(workload);
        if (own is not null && own.Ports.TryGetValue(appPort, out var port) && port is { } ofPort) return (own, ofPort);
        if (own?.Mode is { } mode) return (own, mode);
        var wide = authenticationByNamespace[workload.Namespace].FirstOrDefault(policy => policy.Selector.IsEmpty);
        if (wide?.Mode is { } ofNamespace) return (wide, ofNamespace);
        var widest = authenticationByNamespace[RootNamespace].FirstOrDefault(policy => policy.Selector.IsEmpty);
        return widest?.Mode is { } ofMesh ? (widest, ofMesh) : null;
    }

    /// <summary>
    /// Ports that a policy of a workload says something of, in order: its own PeerAuthentication, or a rule of an AuthorizationPolicy that asks for
    /// a port. All other ports fare alike.
    /// </summary>
    public IEnumerable<int> PortsNamed(WorkloadTraits workload)
    {
        var rules = AuthorizationOf(workload).SelectMany(policy => policy.Rules);
        var asked = rules.SelectMany(rule => rule.To.Select(operation => operation.Ports)
            .Concat(rule.When.Where(condition => condition.Attribute == CallAttribute.DestinationPort).Select(condition => condition.Values)));
        var inRules = asked.SelectMany(ports => ports.Any.Concat(ports.Not))
            .Select(text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var port) ? port : 0);
        return inRules.Concat(OwnAuthentication(workload)?.Ports.Keys ?? []).Where(port => port is > 0 and <= 65535).Distinct().Order();
    }

    /// <summary>True when a policy's selector and targets mean a workload of a namespace it reaches.</summary>
    public bool Selects(AuthorizationPolicy policy, WorkloadTraits workload)
    {
        if (policy.Targets.IsEmpty) return workload.Carries(policy.Selector);
        foreach (var target in policy.Targets)
        {
            if (target.Namespace != workload.Namespace) continue;
            if (target.Name == workload.Service) return true;
            if (SelectorOf(target) is { } selector && workload.Carries(selector)) return true;
        }

        return false;
    }

    private PeerAuthentication? OwnAuthentication(WorkloadTraits workload) =>
        authenticationByNamespace[workload.Namespace].Concat(Root(workload)).FirstOrDefault(policy => !policy.Selector.IsEmpty && workload.Carries(policy.Selector));

    private ImmutableSortedDictionary<string, string>? SelectorOf(ServiceName target)
    {
        foreach (var service in Content.Targets)
        {
            if (service.Name == target) return service.Selector;
        }

        return null;
    }

    private IEnumerable<PeerAuthentication> Root(WorkloadTraits workload) =>
        workload.Namespace == RootNamespace ? [] : authenticationByNamespace[RootNamespace];

    private static IEnumerable<T> Of<T>(ILookup<string, T> byNamespace, string ns) =>
        ns == RootNamespace ? byNamespace[ns] : byNamespace[RootNamespace].Concat(byNamespace[ns]);

    // Two sources that define one name: the first counts, as with services.
    private static ImmutableArray<T> Distinct<T>(IEnumerable<T> policies, Func<T, ServiceName> name) => [.. policies.DistinctBy(name)];

    private sealed record Documents(
        ImmutableArray<ServiceIdentity> Identities,
        ImmutableArray<PeerAuthentication> Authentication,
        ImmutableArray<AuthorizationPolicy> Authorization,
        ImmutableArray<ServiceDocument> Targets)
    {
        public bool Same(Documents other) =>
            Sequence.Same(Identities, other.Identities)
            && Sequence.Same(Authentication, other.Authentication)
            && Sequence.Same(Authorization, other.Authorization)
            && Targets.Length == other.Targets.Length
            && Targets.Zip(other.Targets).All(pair => pair.First.Name == pair.Second.Name && Sequence.Same(pair.First.Selector, pair.Second.Selector));
    }
}
