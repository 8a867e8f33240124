using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Admin.Authz;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Tests.Model.Policies;

namespace Mesh.ControlPlane.Tests.Admin.Authz;

/// <summary>The examples of docs/policies.md are rules without error, and do what their comments say.</summary>
public sealed partial class PolicyDocumentationTests
{
    public static TheoryData<int> Examples() => [.. Enumerable.Range(0, Blocks().Count)];

    [Theory]
    [MemberData(nameof(Examples))]
    public void Example(int index)
    {
        var block = Blocks()[index];
        var world = PolicyWorld.Of(block,
            PolicyWorld.Proved("cart-1", "shop/cart"), PolicyWorld.Proved("db-1", "shop/db", "5432:tcp"), PolicyWorld.Proved("web-1", "shop/web"), PolicyWorld.Proved("probe-1", "ops/probe"));
        var compiled = CompiledWorld.From(world, null);
        foreach (Match claim in Claim().Matches(block))
        {
            var tcp = claim.Groups["method"].Value == "TCP";
            var question = new AuthorizationQuestion
            {
                From = claim.Groups["from"].Value == "nobody" ? "" : claim.Groups["from"].Value,
                To = claim.Groups["to"].Value,
                Method = tcp ? "" : claim.Groups["method"].Value,
                Path = claim.Groups["path"].Value,
                Headers = claim.Groups["header"].Success ? new Dictionary<string, string> { [claim.Groups["header"].Value] = claim.Groups["value"].Value } : [],
            };
            var verdict = AuthorizationCheck.Answer(compiled, question, out var error)?.Verdicts[0];
            Assert.True(verdict is not null, error);
            Assert.True(verdict.Allowed == (claim.Groups["verdict"].Value == "allowed"), $"{claim.Value}: {verdict.Reason}");
        }
    }

    [Fact]
    public void There_are_examples_with_claims() => Assert.InRange(Blocks().Sum(block => Claim().Count(block)), 25, 200);

    private static List<string> Blocks([CallerFilePath] string here = "")
    {
        var page = File.ReadAllText(Path.Combine(Path.GetDirectoryName(here)!, "..", "..", "..", "..", "docs", "policies.md"));
        return [.. Block().Matches(page).Select(match => match.Groups["yaml"].Value)];
    }

    [GeneratedRegex("```yaml\n(?<yaml>.*?)```", RegexOptions.Singleline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Block();

    [GeneratedRegex(@"^# (?<verdict>allowed|denied): (?<from>\S+) (?<method>\S+) (?<to>\S+)( (?<path>\S+))?( (?<header>[^=\s]+)=(?<value>\S+))?$", RegexOptions.Multiline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Claim();
}
