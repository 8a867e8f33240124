using System.Collections.Immutable;
using Envoy.Config.Rbac.V3;
using Mesh.Api.Rbac.Conditions;
using Mesh.Api.Rbac.Reading;

namespace Mesh.Api.Rbac;

/// <summary>
/// Decides by compiled xDS RBAC rules who may do what. Policies are asked in the ordinal order of their keys, and the first that matches
/// decides. A request with several readings (<see cref="CanonicalPath"/>, repeated header fields) matches a DENY or LOG policy when one of
/// them does, an ALLOW policy when all do. Immutable, safe from any thread; deciding allocates nothing (but for repeated fields).
/// </summary>
public sealed class RbacEngine
{
    private readonly ImmutableArray<Policy> policies;
    private readonly PolicyIndex? index;
    private readonly Truth enough;

    private RbacEngine(RbacAction action, ImmutableArray<Policy> policies, RuleReader read)
    {
        Action = action;
        this.policies = policies;
        (ReadsPath, ReadsRequests) = (read.ReadsPath, read.ReadsRequests);
        enough = action == RbacAction.Allow ? Truth.Yes : Truth.Maybe;
        if (policies.Length >= PolicyIndex.WorthIt) index = PolicyIndex.Of(policies);
    }

    /// <summary>What a match means.</summary>
    public RbacAction Action { get; }

    /// <summary>True when a rule looks at paths: requests whose path has no single meaning are to be refused then.</summary>
    public bool ReadsPath { get; }

    /// <summary>True when a rule looks at what only requests have: their path, method, host or header fields.</summary>
    public bool ReadsRequests { get; }

    /// <summary>How many policies there are.</summary>
    public int Policies => policies.Length;

    /// <summary>
    /// Compiles rules, or returns null and adds every problem, each with its place. Nothing is skipped: a rule that cannot be asked as it
    /// was written is a problem. Unknown fields are the caller's to refuse, where the bytes are.
    /// </summary>
    public static RbacEngine? Build(RBAC rules, RbacLayer layer, ICollection<string> problems)
    {
        var before = problems.Count;
        if (rules.Action is not (RBAC.Types.Action.Allow or RBAC.Types.Action.Deny or RBAC.Types.Action.Log)) problems.Add($"action: {(int)rules.Action} is not known");
        var reader = new RuleReader(layer);
        var compiled = ImmutableArray.CreateBuilder<Policy>(rules.Policies.Count);
        foreach (var (key, proto) in rules.Policies.OrderBy(p => p.Key, StringComparer.Ordinal))
        {
            var place = new Place(null, $"policies[\"{key}\"]", problems);
            var permissions = reader.OneOf(proto.Permissions, reader.Of, place, "permissions");
            var principals = reader.OneOf(proto.Principals, reader.Of, place, "principals");
            if (permissions is not null && principals is not null) compiled.Add(new Policy(key, permissions, principals));
        }

        if (problems.Count > before) return null;
        return new RbacEngine((RbacAction)rules.Action, compiled.DrainToImmutable(), reader);
    }

    /// <summary>Decides.</summary>
    public RbacVerdict Evaluate(scoped in RbacRequest request)
    {
        var maybe = false;
        // Other readings are rare, and the index knows one: they are worth the long way.
        var decided = index is not null && (!ReadsPath || request.Path.Readings == 1) ? index.First(request, enough, ref maybe) : First(request, ref maybe);
        var key = decided < 0 ? null : policies[decided].Key;
        return Action switch
        {
            RbacAction.Allow => new RbacVerdict(key is not null, key, key is null && maybe),
            RbacAction.Deny => new RbacVerdict(key is null, key),
            _ => new RbacVerdict(true, key),
        };
    }

    private int First(scoped in RbacRequest request, ref bool maybe)
    {
        for (var i = 0; i < policies.Length; i++)
        {
            var truth = policies[i].Matches(request);
            if (truth >= enough) return i;
            maybe |= truth == Truth.Maybe;
        }

        return -1;
    }
}
