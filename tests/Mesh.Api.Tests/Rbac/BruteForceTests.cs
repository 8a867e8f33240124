using Mesh.Api.Rbac;
using Xunit.Abstractions;

namespace Mesh.Api.Tests.Rbac;

/// <summary>The engine against a naive reading of the same rules, on random pairs of policy set and request.</summary>
public sealed class BruteForceTests(ITestOutputHelper output)
{
    private const int Sets = 1000;
    private const int RequestsEach = 10;

    [Fact]
    public void The_engine_decides_as_a_naive_reading_of_the_rules()
    {
        var first = int.TryParse(Environment.GetEnvironmentVariable("MESH_SEED"), out var given) ? given : Environment.TickCount & 0xffffff;
        output.WriteLine($"seeds {first} to {first + Sets - 1} (MESH_SEED={first} repeats them)");
        var seen = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var seed = first; seed < first + Sets; seed++)
        {
            var random = new RandomRbac(seed);
            var rules = random.Rules();
            var problems = new List<string>();
            var engine = RbacEngine.Build(rules, RbacLayer.Http, problems);
            Assert.True(engine is not null, $"seed {seed}: {string.Join('\n', problems)}");
            var naive = new NaiveRbac(rules);
            for (var i = 0; i < RequestsEach; i++)
            {
                var (sent, meant) = random.Request();
                var expected = naive.Decide(meant);
                var actual = sent.Of(engine);
                Assert.True((actual.Allowed, actual.Policy) == expected, $"seed {seed}, request {i}: engine {actual}, naive {expected}\n{sent}\n{string.Join(" | ", meant.Paths)}\n{rules}");
                var kind = $"{rules.Action} {(expected.Policy is null ? "none" : "match")}{(rules.Policies.Count >= PolicyIndex.WorthIt ? " indexed" : "")}{(meant.Paths.Length > 1 ? " readings" : "")}";
                seen[kind] = seen.GetValueOrDefault(kind) + 1;
            }
        }

        foreach (var (kind, count) in seen.OrderBy(s => s.Key, StringComparer.Ordinal)) output.WriteLine($"{kind}: {count}");
        Assert.Equal(Sets * RequestsEach, seen.Values.Sum());
        // Every way through the engine was really gone: three actions, match or none, with and without index, one or more readings.
        Assert.Equal(24, seen.Count);
        Assert.All(seen, s => Assert.True(s.Value >= 10, $"{s.Key}: only {s.Value}"));
    }
}
