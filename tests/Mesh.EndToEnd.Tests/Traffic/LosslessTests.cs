using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Traffic;

/// <summary>
/// A constant rate through everything that happens to a mesh: 0 requests lost, 0 sent twice. Only a process killed outright may lose the
/// requests that were in flight on it.
/// </summary>
public sealed class LosslessTests
{
    private const string SplitRule = """
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: { name: split }
        spec:
          parentRefs: [{ kind: Service, group: "", name: web }]
          rules: [{ backendRefs: [{ name: web, port: 80, weight: WEB }, { name: web2, port: 80, weight: WEB2 }] }]
        """;

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public Task A_rule_change(bool consul) => UnderLoadAsync(consul, async (bed, one, two) =>
    {
        _ = one;
        var web2 = await bed.AddAsync("web2", "web2-1");
        foreach (var (web, other) in ((int, int)[])[(90, 10), (50, 50), (0, 100), (100, 0), (50, 50)])
        {
            await bed.ControlPlane.WriteRuleAsync("split.yaml", SplitRule
                .Replace("WEB2", $"{other}", StringComparison.Ordinal).Replace("WEB", $"{web}", StringComparison.Ordinal));
            await Task.Delay(400);
        }

        await Eventually.HoldsAsync(() => web2.App.Requests > 20 && two.App.Requests > 20, "both backends get their share");
        bed.ControlPlane.RemoveRule("split.yaml");
        return [web2];
    });

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public Task An_endpoint_comes_and_goes(bool consul) => UnderLoadAsync(consul, async (bed, one, two) =>
    {
        _ = two;
        var three = await bed.AddAsync("web", "web-3");
        await Eventually.HoldsAsync(() => three.App.Requests > 20, "the new instance gets traffic");
        Assert.Equal(0, await one.Sidecar.Process.StopAsync());
        var seen = three.App.Requests;
        await Eventually.HoldsAsync(() => three.App.Requests > seen + 20, "the others carry on");
        return [three];
    });

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public Task The_control_plane_restarts_and_stays_away(bool consul) => UnderLoadAsync(consul, async (bed, one, two) =>
    {
        await bed.ControlPlane.RestartAsync();
        await Task.Delay(1500);
        await bed.ControlPlane.KillAsync();
        var (first, second) = (one.App.Requests, two.App.Requests);
        await Task.Delay(4000);
        await Eventually.HoldsAsync(() => one.App.Requests > first + 100 && two.App.Requests > second + 100, "both instances get traffic while the control plane is away");
        await bed.ControlPlane.LaunchAsync();
        // Longer than the grace time: nobody's registration may lapse after the restart.
        await Task.Delay(3500);
        (first, second) = (one.App.Requests, two.App.Requests);
        await Eventually.HoldsAsync(() => one.App.Requests > first + 20 && two.App.Requests > second + 20, "both instances still get traffic");
        return [];
    });

    [SkippableFact]
    public Task An_instance_stops_gracefully_with_slow_requests_running() => UnderLoadAsync(false, async (bed, one, two) =>
    {
        await Task.Delay(1500);
        Assert.Equal(0, await one.Sidecar.Process.StopAsync());
        var before = two.App.Requests;
        await Eventually.HoldsAsync(() => two.App.Requests > before + 100, "the other instance takes all");
        _ = bed;
        return [];
    }, path: "/slow?delay=300");

    [SkippableFact]
    public async Task A_killed_instance_loses_only_what_was_in_flight_on_it()
    {
        ExternalProgram.Require("fortio");
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var one = await bed.AddAsync("web", "web-1");
            var two = await bed.AddAsync("web", "web-2");
            var client = await bed.AddClientAsync();
            await using var load = Load.Start(client.Outbound, "/?delay=20", "web", new LoadShape());
            await Eventually.HoldsAsync(() => one.App.Requests > 50 && two.App.Requests > 50, "both instances get traffic");
            await one.Sidecar.Process.KillAsync();
            var before = two.App.Requests;
            await Eventually.HoldsAsync(() => two.App.Requests > before + 300, "the other instance takes all");
            var result = await load.EndAsync();
            LoadResult.AssertNothingTwice(one.App, two.App);
            Assert.True(result.Bad <= 8, $"more failed than were in flight: {string.Join(", ", result.Codes)}");
            Assert.DoesNotContain("-1", result.Codes.Keys);
            var metrics = await client.MetricsAsync();
            if (result.Bad > 0) Assert.Contains("response_code=\"502\",grpc_response_status=\"\",response_flags=\"UC\"", metrics, StringComparison.Ordinal);
        });
    }

    private static async Task UnderLoadAsync(
        bool consul, Func<MeshTestbed, Instance, Instance, Task<Instance[]>> events, string path = "/")
    {
        ExternalProgram.Require("fortio");
        await using var bed = await MeshTestbed.StartAsync(consul);
        await bed.RunAsync(async () =>
        {
            var one = await bed.AddAsync("web", "web-1");
            var two = await bed.AddAsync("web", "web-2");
            var client = await bed.AddClientAsync();
            await Eventually.PassesAsync(async () =>
            {
                using var http = client.Client();
                (await http.GetAsync("http://web/")).EnsureSuccessStatusCode();
            });
            await using var load = Load.Start(client.Outbound, path, "web", new LoadShape());
            await Eventually.HoldsAsync(() => one.App.Requests > 20 && two.App.Requests > 20, "both instances get traffic");
            var more = await events(bed, one, two);
            (await load.EndAsync()).AssertLossless([one.App, two.App, .. more.Select(m => m.App)]);
        });
    }
}
