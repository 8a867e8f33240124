using System.Collections.Immutable;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Model.Policies;
using HttpRbac = Envoy.Extensions.Filters.Http.Rbac.V3.RBAC;
using NetworkRbac = Envoy.Extensions.Filters.Network.Rbac.V3.RBAC;
using RbacRules = Envoy.Config.Rbac.V3.RBAC;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>
/// The authorization of one port: filters in the order DENY, ALLOW, AUDIT, each with the rules that hold and, apart from them, those that
/// are tried out. Immutable; shared by all nodes with the same policies. Do not change the messages.
/// </summary>
internal sealed class PortPolicies
{
    private static readonly (PolicyAction Action, string Name)[] InOrder =
        [(PolicyAction.Deny, "deny"), (PolicyAction.Allow, "allow"), (PolicyAction.Audit, "audit")];

    private PortPolicies(IReadOnlyList<AuthorizationPolicy> policies, string trustDomain, int port, EmitterKind dialect)
    {
        Policies = [.. policies];
        var enforced = policies.Where(policy => !policy.DryRun && policy.Action != PolicyAction.Audit).SelectMany(policy => policy.Rules).ToArray();
        HttpOnly = enforced.Any(rule => RuleCompiler.LooksAtHttp(rule, port));
        LooksAtPath = policies.SelectMany(policy => policy.Rules).Any(rule => RuleCompiler.LooksAtPath(rule, port));
        TellsClient = policies.Any(policy => policy.TellsClient && !policy.DryRun);
        Http = Compile(new RuleScope(trustDomain, port, Http: true, dialect), HttpFilterOf);
        Network = dialect == EmitterKind.Grpc ? [] : Compile(new RuleScope(trustDomain, port, Http: false, dialect), NetworkFilterOf);
        Locations = LocationsOf(policies);
    }

    /// <summary>What holds here, those of the whole mesh first.</summary>
    public ImmutableArray<AuthorizationPolicy> Policies { get; }

    /// <summary>True when a rule that holds looks at HTTP: nothing else may pass.</summary>
    public bool HttpOnly { get; }

    /// <summary>True when a rule looks at the path.</summary>
    public bool LooksAtPath { get; }

    /// <summary>True when clients are told which policy refused them.</summary>
    public bool TellsClient { get; }

    /// <summary>Filters for an HTTP connection manager, before its router.</summary>
    public ImmutableArray<HttpFilter> Http { get; }

    /// <summary>Filters for a TCP chain, before its proxy.</summary>
    public ImmutableArray<Filter> Network { get; }

    /// <summary>Where each policy key was written.</summary>
    public Struct? Locations { get; }

    /// <summary>Compiles the policies of a port.</summary>
    public static PortPolicies Compile(IReadOnlyList<AuthorizationPolicy> policies, string trustDomain, int port, EmitterKind dialect) =>
        new(policies, trustDomain, port, dialect);

    private ImmutableArray<T> Compile<T>(RuleScope scope, Func<string, RbacRules?, RbacRules?, T> wrap)
    {
        var filters = ImmutableArray.CreateBuilder<T>();
        foreach (var (action, name) in InOrder)
        {
            // gRPC libraries take AUDIT for "allow everything" and know no trial: there the filter would say nothing.
            if (scope.Dialect == EmitterKind.Grpc && action == PolicyAction.Audit) continue;
            var rules = RulesOf(action, dryRun: false, scope);
            var shadow = scope.Dialect == EmitterKind.Grpc ? null : RulesOf(action, dryRun: true, scope);
            if (rules is not null || shadow is not null) filters.Add(wrap(name, rules, shadow));
        }

        return filters.ToImmutable();
    }

    /// <summary>The rules of an action. Where there is an ALLOW policy, its rules stand even when none can match here: that denies everything.</summary>
    private RbacRules? RulesOf(PolicyAction action, bool dryRun, RuleScope scope)
    {
        var meant = Policies.Where(policy => policy.Action == action && policy.DryRun == dryRun).ToArray();
        if (meant.Length == 0) return null;
        var rules = new RbacRules
        {
            Action = action switch { PolicyAction.Deny => RbacRules.Types.Action.Deny, PolicyAction.Allow => RbacRules.Types.Action.Allow, _ => RbacRules.Types.Action.Log },
        };
        foreach (var (key, rule) in meant.SelectMany(PolicyKey.All).OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            if (RuleCompiler.Compile(rule, action, scope) is { } compiled) rules.Policies.Add(key, compiled);
        }

        return rules.Policies.Count > 0 || action == PolicyAction.Allow ? rules : null;
    }

    private static HttpFilter HttpFilterOf(string name, RbacRules? rules, RbacRules? shadow) => new()
    {
        Name = "envoy.filters.http.rbac." + name,
        TypedConfig = Packed(new HttpRbac { Rules = rules, ShadowRules = shadow }),
    };

    private static Filter NetworkFilterOf(string name, RbacRules? rules, RbacRules? shadow) => new()
    {
        Name = "envoy.filters.network.rbac." + name,
        TypedConfig = Packed(new NetworkRbac { Rules = rules, ShadowRules = shadow, StatPrefix = "rbac_" + name }),
    };

    private static Any Packed(IMessage message) => new() { TypeUrl = Api.Xds.TypeUrls.Of(message.Descriptor), Value = message.ToByteString() };

    private static Struct? LocationsOf(IReadOnlyList<AuthorizationPolicy> policies)
    {
        if (policies.Count == 0) return null;
        var places = policies.SelectMany(PolicyKey.All).Select(pair => (pair.Key, pair.Rule.Source.Location))
            .Concat(policies.Where(policy => policy.Rules.IsEmpty).Select(policy => (Key: PolicyKey.Of(policy), policy.Source.Location)));
        var locations = new Struct();
        foreach (var (key, location) in places.OrderBy(place => place.Key, StringComparer.Ordinal)) locations.Fields[key] = Value.ForString(location);
        return locations;
    }
}
