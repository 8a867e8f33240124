using Envoy.Config.Rbac.V3;
using Mesh.Api.Operators;
using Mesh.Api.Rbac;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Compilation.Policies;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using HttpRbac = Envoy.Extensions.Filters.Http.Rbac.V3.RBAC;
using NetworkRbac = Envoy.Extensions.Filters.Network.Rbac.V3.RBAC;

namespace Mesh.ControlPlane.Admin.Authz;

/// <summary>
/// What the sidecar of one workload would do: the rules are those that are sent to it, and the engine is the one it runs. Immutable.
/// </summary>
internal sealed class Judge
{
    private readonly CompiledWorld compiled;
    private readonly Destination.Workload at;
    private readonly PortPolicies rules;
    private readonly TlsMode mode;
    private readonly RbacEngine[] http;
    private readonly RbacEngine[] network;
    private readonly (AuthorizationPolicy Policy, RbacEngine[] Http, RbacEngine[] Network)[] alone;

    /// <summary>The judge of a workload.</summary>
    public Judge(CompiledWorld compiled, Destination.Workload at)
    {
        (this.compiled, this.at) = (compiled, at);
        rules = compiled.Policies.Of(at.Traits, at.Port, EmitterKind.Sidecar);
        mode = compiled.Policies.ModeOf(at.Traits, at.Port);
        http = Engines(rules, isHttp: true);
        network = Engines(rules, isHttp: false);
        alone =
        [
            .. from policy in rules.Policies.OrderBy(policy => Order(policy.Action))
               let compiledAlone = PortPolicies.Compile([policy with { DryRun = false }], compiled.World.Trust.Domain, at.Port, EmitterKind.Sidecar)
               select (policy, Engines(compiledAlone, isHttp: true), Engines(compiledAlone, isHttp: false)),
        ];
    }

    /// <summary>How connections may arrive.</summary>
    public TlsMode Mode => mode;

    /// <summary>The verdict on a call.</summary>
    public AuthorizationVerdict Decide(Trial trial)
    {
        var from = trial.Principal ?? "";
        if (Handshake(trial) is { } refused) return refused with { From = from };
        if (mode == TlsMode.Disable || !at.HasIdentity) trial = trial with { Principal = null };
        if (Shape(trial) is { } wrong) return wrong with { From = from };

        // On a port that is tcp there a request is bytes like others.
        var isHttp = trial.IsHttp && at.Protocol != AppProtocol.Tcp;
        var steps = alone.Select(one => Step(one.Policy, isHttp ? one.Http : one.Network, trial)).ToArray();
        return Verdict(isHttp ? http : network, trial) with { From = from, Steps = steps };
    }

    private AuthorizationVerdict Verdict(RbacEngine[] engines, Trial trial)
    {
        foreach (var engine in engines)
        {
            var verdict = Ask(engine, trial);
            if (!verdict.Allowed) return Denied(engine.Action, verdict);
            if (engine.Action == RbacAction.Allow) return Said(true, verdict.Policy!, "an ALLOW rule matches");
        }

        return new AuthorizationVerdict { Allowed = true, Reason = rules.Policies.Any(policy => !policy.DryRun) ? "no DENY rule matches, and there is no ALLOW policy" : "no policy holds there" };
    }

    private AuthorizationVerdict Denied(RbacAction action, RbacVerdict verdict)
    {
        if (action == RbacAction.Deny) return Said(false, verdict.Policy!, "a DENY rule matches");
        var allows = rules.Policies.Where(policy => policy is { Action: PolicyAction.Allow, DryRun: false }).ToArray();
        var named = string.Join(", ", allows.Select(policy => $"{policy.Name} ({policy.Source.Location})"));
        return new AuthorizationVerdict
        {
            Allowed = false,
            Reason = (verdict.Ambiguous ? "an ALLOW rule matches one reading of the request and not another: " : "no ALLOW rule matches: ") + named,
            Policy = allows.Length == 1 ? allows[0].Name.ToString() : "",
            Location = allows.Length == 1 ? allows[0].Source.Location : "",
        };
    }

    // What happens before any rule is asked.
    private AuthorizationVerdict? Handshake(Trial trial)
    {
        var trust = compiled.World.Trust;
        if (mode == TlsMode.Strict && (trial.Principal is null || !at.HasIdentity))
        {
            var policy = compiled.World.Policies.Deciding(at.Traits, at.Port)!.Value.Policy;
            var why = trial.Principal is null ? "mutual TLS is STRICT, and the caller has no certificate" : "mutual TLS is STRICT, and the workload has no identity: it lets nothing through";
            return new AuthorizationVerdict { Reason = why, Policy = policy.Name.ToString(), Location = policy.Source.Location };
        }

        if (trial.Principal is not { } id || mode == TlsMode.Disable || !at.HasIdentity) return null;
        if (trust.Revoked.Contains(id, StringComparer.Ordinal)) return new AuthorizationVerdict { Reason = "the caller's identity is revoked" };
        return id.StartsWith(IdentityName.PrefixOf(trust.Domain), StringComparison.Ordinal)
            ? null
            : new AuthorizationVerdict { Reason = $"the caller's identity is not of the mesh's trust domain, {trust.Domain}" };
    }

    // What cannot be read as what the port speaks, and paths without a single meaning.
    private AuthorizationVerdict? Shape(Trial trial)
    {
        if (!trial.IsHttp)
        {
            if (at.Protocol is AppProtocol.Http or AppProtocol.Http2 or AppProtocol.Grpc) return new AuthorizationVerdict { Reason = "the port speaks HTTP: a connection that does not is refused" };
            return at.Protocol == AppProtocol.Unknown && rules.HttpOnly
                ? new AuthorizationVerdict { Reason = "a rule about HTTP holds on the port, so what is not HTTP is refused" }
                : null;
        }

        using var path = CanonicalPath.Read(trial.Path);
        return path.Problem is { } problem && at.Protocol != AppProtocol.Tcp && http.Any(engine => engine is { ReadsPath: true, Action: not RbacAction.Log })
            ? new AuthorizationVerdict { Reason = "a rule looks at paths, and this one has no single meaning: " + problem }
            : null;
    }

    private AuthorizationStep Step(AuthorizationPolicy policy, RbacEngine[] engines, Trial trial)
    {
        var key = engines.Select(engine => Ask(engine, trial).Policy).FirstOrDefault(matched => matched is not null);
        return new AuthorizationStep
        {
            Policy = policy.Name.ToString(),
            Action = policy.Action.ToString().ToUpperInvariant(),
            Matched = key is not null,
            Location = key is null ? policy.Source.Location : LocationOf(key),
            DryRun = policy.DryRun,
        };
    }

    private AuthorizationVerdict Said(bool allowed, string key, string reason) => new()
    {
        Allowed = allowed,
        Reason = reason,
        Policy = rules.Policies.First(policy => key.StartsWith(PolicyKey.Of(policy) + "-rule[", StringComparison.Ordinal)).Name.ToString(),
        Location = LocationOf(key),
    };

    private string LocationOf(string key) => rules.Locations?.Fields.GetValueOrDefault(key)?.StringValue ?? "";

    private RbacVerdict Ask(RbacEngine engine, Trial trial)
    {
        using var path = CanonicalPath.Read(trial.IsHttp ? trial.Path : "/");
        return engine.Evaluate(new RbacRequest
        {
            Method = trial.Method,
            Path = path,
            Authority = trial.Authority,
            Fields = trial,
            Principal = trial.Principal,
            Source = IpValue.Of(trial.Source),
            Destination = IpValue.Of(at.Address),
            DestinationPort = at.Port,
        });
    }

    private static RbacEngine[] Engines(PortPolicies policies, bool isHttp)
    {
        var sets = isHttp
            ? policies.Http.Select(filter => filter.TypedConfig.Unpack<HttpRbac>().Rules)
            : policies.Network.Select(filter => filter.TypedConfig.Unpack<NetworkRbac>().Rules);
        var layer = isHttp ? RbacLayer.Http : RbacLayer.Network;
        return [.. sets.Where(set => set is not null).Select(set => Engine(set, layer))];
    }

    private static RbacEngine Engine(RBAC rules, RbacLayer layer)
    {
        var problems = new List<string>();
        return RbacEngine.Build(rules, layer, problems) ?? throw new InvalidOperationException("a compiled policy is refused by the engine, which is a bug: " + string.Join("; ", problems));
    }

    private static int Order(PolicyAction action) => action switch { PolicyAction.Deny => 0, PolicyAction.Allow => 1, _ => 2 };
}
