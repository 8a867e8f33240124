using System.Collections.Immutable;
using System.Globalization;

namespace Mesh.ControlPlane.Model.Policies;

/// <summary>
/// What is odd about policies in the world as it is: they name what does not exist, or stand in each other's way. It is no error, since
/// workloads come and go; but a typing error in a policy shows here. One use, one thread.
/// </summary>
internal sealed class PolicyReview
{
    private readonly PolicySet policies;
    private readonly Trust trust;
    private readonly IReadOnlyDictionary<ServiceName, Service> services;
    private readonly WorkloadIndex workloads;
    private readonly Lazy<HashSet<string>> identities;
    private readonly Notices notices = new();

    private PolicyReview(World world)
    {
        (policies, trust, services) = (world.Policies, world.Trust, world.Services);
        workloads = new WorkloadIndex(world.Instances.Values,
            policies.Authorization.Select(policy => policy.Selector).Concat(policies.Authentication.Select(policy => policy.Selector)));
        identities = new Lazy<HashSet<string>>(() => KnownIdentities.Of(world));
    }

    /// <summary>What there is to say about the policies of a world.</summary>
    public static ImmutableArray<Notice> Of(World world)
    {
        if (world.Policies.IsEmpty) return [];
        var review = new PolicyReview(world);
        foreach (var rule in world.Policies.Identities) review.Review(rule);
        foreach (var policy in world.Policies.Authentication) review.Review(policy);
        foreach (var policy in world.Policies.Authorization) review.Review(policy);
        return review.notices.ToImmutable();
    }

    private void Review(ServiceIdentity rule)
    {
        if (!services.ContainsKey(rule.Service)) notices.Add(rule.Source, $"ServiceIdentity {rule.Name} has no effect: there is no service {rule.Service}");
        if (policies.Identities.First(other => other.Service == rule.Service) is var first && first != rule)
            notices.Add(rule.Source, $"the identities of ServiceIdentity {rule.Name} are ignored: {first.Source.Location} lists those of {rule.Service} already");
        foreach (var identity in rule.Identities.Where(IsForeign))
            notices.Add(rule.Source, $"nobody can prove the identity {identity}: the trust domain of the mesh is {trust.Domain}");
    }

    private void Review(PeerAuthentication policy)
    {
        CheckSelector("PeerAuthentication", policy.Name, policy.Selector, policy.Source);
        if (!policy.Selector.IsEmpty) return;
        var wide = policies.Authentication.Where(other => other.Name.Namespace == policy.Name.Namespace && other.Selector.IsEmpty)
            .OrderBy(other => other.Created ?? DateTimeOffset.MaxValue).ThenBy(other => other.Name).First();
        if (wide != policy) notices.Add(policy.Source, $"PeerAuthentication {policy.Name} is ignored: {wide.Source.Location} holds for the same workloads already");
    }

    private void Review(AuthorizationPolicy policy)
    {
        foreach (var target in policy.Targets.Where(target => !services.ContainsKey(target)))
            notices.Add(policy.Source, $"AuthorizationPolicy {policy.Name} has no effect on {target}: there is no such service");
        if (policy.Targets.IsEmpty) CheckSelector("AuthorizationPolicy", policy.Name, policy.Selector, policy.Source);
        foreach (var rule in policy.Rules) Review(policy, rule);
    }

    private void Review(AuthorizationPolicy policy, AuthorizationRule rule)
    {
        foreach (var principal in rule.From.SelectMany(source => source.Principals.Any.Concat(source.Principals.Not))) CheckPrincipal(rule, principal);
        var accounts = rule.From.SelectMany(source => source.ServiceAccounts.Any.Concat(source.ServiceAccounts.Not));
        foreach (var account in accounts) CheckIdentity(rule, account, IdentityName.Expand(account.Contains('/') ? account : $"{policy.Name.Namespace}/{account}", trust.Domain));

        var ports = rule.To.SelectMany(operation => operation.Ports.Any).Select(text => int.Parse(text, CultureInfo.InvariantCulture)).Distinct().ToArray();
        var isHttp = rule.To.Any(operation => operation.IsHttp) || rule.When.Any(condition => condition.IsHttp);
        if (ports.Length == 0 && !isHttp) return;
        var selected = workloads.Selected(policy.Name.Namespace, policy.Selector).Where(instance => policies.Selects(policy, WorkloadTraits.Of(instance))).Take(1000).ToArray();
        if (selected.Length == 0) return;
        foreach (var port in ports.Where(port => !selected.Any(instance => instance.Ports.Any(has => has.AppPort == port))))
            notices.Add(rule.Source, $"no workload that AuthorizationPolicy {policy.Name} selects has the port {port}: policies name the application's port, not the service's");
        if (isHttp) CheckTcp(policy, rule, selected);
    }

    private void CheckTcp(AuthorizationPolicy policy, AuthorizationRule rule, Instance[] selected)
    {
        foreach (var instance in selected)
        {
            var tcp = instance.Ports.FirstOrDefault(port => port.Protocol == AppProtocol.Tcp && ReachesHttp(rule, port.AppPort));
            if (tcp is null) continue;
            notices.Add(rule.Source, policy.Action == PolicyAction.Deny
                ? $"port {tcp.AppPort} of {instance.Id} is declared as tcp: what this DENY rule says about HTTP is left out there, and it denies more"
                : $"port {tcp.AppPort} of {instance.Id} is declared as tcp: this rule looks at HTTP and never matches there");
            return;
        }
    }

    private static bool ReachesHttp(AuthorizationRule rule, int port)
    {
        var text = port.ToString(CultureInfo.InvariantCulture);
        return rule.When.Any(condition => condition.IsHttp)
            || rule.To.Any(operation => operation.IsHttp && (operation.Ports.Any.IsEmpty || operation.Ports.Any.Contains(text)) && !operation.Ports.Not.Contains(text));
    }

    private void CheckSelector(string kind, ServiceName name, ImmutableSortedDictionary<string, string> selector, Provenance source)
    {
        if (selector.IsEmpty || workloads.Selected(name.Namespace, selector).Any()) return;
        var where = name.Namespace == PolicySet.RootNamespace ? "" : $" in namespace {name.Namespace}";
        notices.Add(source, $"{kind} {name} has no effect: no workload{where} carries the labels {string.Join(",", selector.Select(label => $"{label.Key}={label.Value}"))}");
    }

    private void CheckPrincipal(AuthorizationRule rule, string principal)
    {
        if (principal.Contains('*', StringComparison.Ordinal)) return;
        var identity = principal.StartsWith(IdentityName.Scheme, StringComparison.Ordinal) ? principal : IdentityName.Scheme + principal;
        var own = IdentityName.PrefixOf(Trust.DefaultDomain);
        if (identity.StartsWith(own, StringComparison.Ordinal)) identity = IdentityName.PrefixOf(trust.Domain) + identity[own.Length..];
        CheckIdentity(rule, principal, identity);
    }

    private void CheckIdentity(AuthorizationRule rule, string written, string identity)
    {
        if (IsForeign(identity)) notices.Add(rule.Source, $"nobody can prove the identity {written}: the trust domain of the mesh is {trust.Domain}");
        else if (!identities.Value.Contains(identity)) notices.Add(rule.Source, $"no service, workload or join token has the identity {written}: is it spelled right?");
    }

    private bool IsForeign(string identity) =>
        identity.StartsWith(IdentityName.Scheme, StringComparison.Ordinal) && !identity.StartsWith(IdentityName.PrefixOf(trust.Domain), StringComparison.Ordinal);
}
