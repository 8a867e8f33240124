using System.Diagnostics;
using System.Globalization;
using Envoy.Config.Rbac.V3;
using Mesh.Api.Rbac;

namespace Mesh.Benchmarks;

/// <summary>
/// Part of bench <c>rbac</c>: nanoseconds a decision of the engine alone, rules told apart by caller and path; beside it the same rules asked one
/// after the other, as they are for a path with several readings. The request matches the last rule.
/// </summary>
internal sealed class RbacDecision(int rounds)
{
    private const string Caller = "spiffe://cluster.local/ns/shop/sa/web";
    private const int Times = 100_000;

    public IEnumerable<Figure> Run()
    {
        foreach (var count in new[] { 10, 1000 })
        {
            var engine = Build(Rules(count));
            var (plain, several) = ($"/s{count - 1:d4}/orders?x=1", $"/s{count - 1:d4}/orders;v=1?x=1");
            Time(engine, plain); // Warm-up.
            var times = Enumerable.Range(0, rounds).Select(_ => (Indexed: Time(engine, plain), OneByOne: Time(engine, several))).ToList();
            yield return new Figure(
                RbacHop.Name, "one-by-one", string.Create(CultureInfo.InvariantCulture, $"decision_ns_{count}_rules"), times.Min(t => t.Indexed), times.Min(t => t.OneByOne));
        }
    }

    private static double Time(RbacEngine engine, string target)
    {
        var allowed = 0;
        var watch = Stopwatch.StartNew();
        for (var i = 0; i < Times; i++)
        {
            using var path = CanonicalPath.Read(target);
            if (engine.Evaluate(new RbacRequest { Method = "GET", Path = path, Authority = "web", Principal = Caller, DestinationPort = 8080 }).Allowed) allowed++;
        }

        if (allowed != Times) throw new InvalidOperationException("the rules do not match what they are measured with");
        return watch.Elapsed.TotalNanoseconds / Times;
    }

    private static RbacEngine Build(RBAC rules)
    {
        var problems = new List<string>();
        return RbacEngine.Build(rules, RbacLayer.Http, problems) ?? throw new InvalidOperationException(string.Join('\n', problems));
    }

    /// <summary>Rules as AuthorizationPolicies become them: who, method, path. Every third is for our caller.</summary>
    private static RBAC Rules(int count)
    {
        var rules = new RBAC { Action = RBAC.Types.Action.Allow };
        for (var i = 0; i < count; i++)
        {
            var id = i % 3 == 0 || i == count - 1 ? Caller : $"spiffe://cluster.local/ns/shop/sa/s{i:d4}";
            var what = new Permission.Types.Set();
            what.Rules.Add(new Permission { Header = new Envoy.Config.Route.V3.HeaderMatcher { Name = ":method", StringMatch = new() { Exact = "GET" } } });
            what.Rules.Add(new Permission { UrlPath = new() { Path = new() { Prefix = $"/s{i:d4}/" } } });
            rules.Policies[$"ns[shop]-policy[p{i:d4}]-rule[0]"] = new Policy
            {
                Permissions = { new Permission { AndRules = what } },
                Principals = { new Principal { Authenticated = new() { PrincipalName = new() { Exact = id } } } },
            };
        }

        return rules;
    }
}
