using System.Net;
using Mesh.Api.Rbac;
using Mesh.ControlPlane.Admin.Authz;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Compilation.Policies;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Tests.Model;
using Mesh.ControlPlane.Tests.Model.Policies;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Compilation.Policies;

/// <summary>Random policies, from their text to the verdict of the engine the sidecar runs, against an evaluator that only knows the documentation.</summary>
public sealed class BruteForceTests
{
    private const int Sets = 700;
    private const int CallsEach = 10;

    // A judge costs more than what it is asked.
    private const int JudgedSets = 100;
    private const int JudgedCalls = 50;

    [Theory]
    [InlineData(1)]
    [LongInlineData(2)]
    [LongInlineData(3)]
    public void The_engine_decides_as_the_documentation_says(int seed)
    {
        var random = new RandomPolicies(new Random(seed));
        var traits = WorkloadTraits.Of(Given.Workload("cart-1", "shop/cart", "8080:http"));
        var (allowed, denied) = (0, 0);
        for (var set = 0; set < Sets; set++)
        {
            var text = random.Policies();
            var world = PolicyWorld.Of(text);
            var compiled = CompiledPolicies.From(world, null);
            var policies = world.Policies.AuthorizationOf(traits).ToArray();
            for (var i = 0; i < CallsEach; i++)
            {
                var call = random.Call();
                var expected = NaiveAuthorization.Allows(policies, call);
                if (expected != Decide(compiled.Of(traits, call.Port, EmitterKind.Sidecar), call)) Assert.Fail($"expected {(expected ? "allowed" : "denied")}: {call}\n{text}");
                _ = expected ? allowed++ : denied++;
            }
        }

        // A comparison in which nearly all is denied compares nothing.
        Assert.InRange((double)allowed / (allowed + denied), 0.15, 0.85);
    }

    /// <summary>What <c>authz check</c> answers is what the engine of the sidecar decides, and what has no way through at all.</summary>
    [Theory]
    [InlineData(4)]
    [LongInlineData(5)]
    public void The_check_answers_as_the_engine_decides(int seed)
    {
        var random = new RandomPolicies(new Random(seed));
        var (allowed, denied) = (0, 0);
        for (var set = 0; set < JudgedSets; set++)
        {
            var text = random.Policies();
            var judges = new Dictionary<(string, int), (Judge Judge, PortPolicies Rules)>();
            for (var i = 0; i < JudgedCalls; i++)
            {
                var call = random.Call();
                if (!judges.TryGetValue((call.DestinationIp, call.Port), out var at)) judges[(call.DestinationIp, call.Port)] = at = JudgeOf(text, call);
                var isOfMesh = call.Principal?.StartsWith(PolicyWorld.Prefix, StringComparison.Ordinal) != false;
                var expected = isOfMesh && (call.IsHttp || !at.Rules.HttpOnly) && Decide(at.Rules, call);
                var headers = new Dictionary<string, string>(StringComparer.Ordinal);
                if (call.Header is not null) headers["X-A"] = call.Header;
                var verdict = at.Judge.Decide(new Trial(call.Principal, IPAddress.Parse(call.SourceIp), call.Method, call.Path, call.Host, headers));
                if (expected != verdict.Allowed) Assert.Fail($"expected {(expected ? "allowed" : "denied")}, is {verdict.Reason}: {call}\n{text}");
                _ = expected ? allowed++ : denied++;
            }
        }

        Assert.InRange((double)allowed / (allowed + denied), 0.15, 0.85);
    }

    private static (Judge Judge, PortPolicies Rules) JudgeOf(string policies, Call call)
    {
        var cart = PolicyWorld.Proved("cart-1", "shop/cart", "8080") with { Address = call.DestinationIp };
        var compiled = CompiledWorld.From(PolicyWorld.Of(policies, cart with { Ports = [.. cart.Ports, Given.Port("9090")] }), null);
        var found = Destination.Find($"cart.shop:{call.Port}", "shop", compiled.World, out var error);
        Assert.True(found is not null, error);
        return (new Judge(compiled, found.Workloads[0]), compiled.Policies.Of(WorkloadTraits.Of(cart), call.Port, EmitterKind.Sidecar));
    }

    private static bool Decide(PortPolicies policies, Call call) => call.IsHttp
        ? policies.Http.All(filter => Ask(filter.TypedConfig.Unpack<Envoy.Extensions.Filters.Http.Rbac.V3.RBAC>().Rules, RbacLayer.Http, call))
        : policies.Network.All(filter => Ask(filter.TypedConfig.Unpack<Envoy.Extensions.Filters.Network.Rbac.V3.RBAC>().Rules, RbacLayer.Network, call));

    private static bool Ask(Envoy.Config.Rbac.V3.RBAC? rules, RbacLayer layer, Call call)
    {
        if (rules is null) return true;
        var problems = new List<string>();
        var engine = RbacEngine.Build(rules, layer, problems);
        Assert.True(engine is not null, string.Join('\n', problems));
        using var path = CanonicalPath.Read(call.IsHttp ? call.Path : "/");
        return engine.Evaluate(new RbacRequest
        {
            Method = call.Method,
            Path = path,
            Authority = call.Host,
            Fields = new OneField(call.Header),
            Principal = call.Principal,
            Source = IpValue.Of(IPAddress.Parse(call.SourceIp)),
            Destination = IpValue.Of(IPAddress.Parse(call.DestinationIp)),
            DestinationPort = 41000,
        }).Allowed;
    }

    private sealed class OneField(string? value) : IRbacFields
    {
        public string? Find(string name, out bool several)
        {
            several = false;
            return name == "x-a" ? value : null;
        }

        public IReadOnlyList<string> All(string name) => [];
    }
}
