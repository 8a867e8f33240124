using Mesh.Tests;
using Xunit.Abstractions;

namespace Mesh.ControlPlane.Tests.Sources.Registry;

/// <summary>The same calls against the built-in registry and a real Consul must come to the same.</summary>
public sealed class DifferentialTests(ITestOutputHelper output)
{
    /// <summary>Where we differ on purpose: the call, and why.</summary>
    private static readonly Dictionary<string, string> Different = new()
    {
        ["PUT /v1/kv/a?flags=abc x"] = "a wrong number is the caller's fault: 400, not 500",
        ["PUT /v1/kv/b?cas=abc x"] = "a wrong number is the caller's fault: 400, not 500",
    };

    [SkippableFact]
    public async Task The_built_in_registry_answers_as_consul_does()
    {
        await using var consul = await ConsulProcess.StartAsync();
        await using var builtIn = await StartedRegistry.StartAsync();
        using var client = consul.CreateClient();
        var (theirs, ours) = (new Replay(client), new Replay(builtIn.Client));
        theirs.Set("port", consul.Address.Port.ToString());
        ours.Set("port", consul.Address.Port.ToString());

        var differences = new List<string>();
        var calls = Scenario.All.ToArray();
        foreach (var call in calls)
        {
            var both = await Task.WhenAll(theirs.PlayAsync(call), ours.PlayAsync(call));
            if (both[0] != both[1] && !Different.ContainsKey(call.ToString())) differences.Add($"{call}\n  consul {both[0]}\n  ours   {both[1]}");
        }

        output.WriteLine($"{calls.Length} calls, {differences.Count} differences");
        Assert.True(calls.Length >= 60);
        Assert.True(differences.Count == 0, string.Join('\n', differences));
    }
}
