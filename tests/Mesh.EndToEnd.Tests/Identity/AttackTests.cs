using System.Net;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Identity;

/// <summary>Those who try to be somebody else, with real programs: a stolen token, another's name, another's address, another's authority.</summary>
public sealed class AttackTests
{
    [Fact]
    public async Task A_token_admits_one_sidecar_and_no_second()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var token = await bed.ControlPlane.JoinTokenAsync("web");
            bed.Own(await SidecarProcess.StartAsync("web-1", token, ["--control-plane", bed.ControlPlane.MeshApi, "--service", "web"]));
            var thief = bed.Own(await SidecarProcess.LaunchAsync("web-2", ["--control-plane", bed.ControlPlane.MeshApi, "--service", "web"], token));

            await Eventually.HoldsAsync(() => thief.Process.HasExited || thief.Process.Output.Contains("used", StringComparison.Ordinal), "the second is told why");
            Assert.DoesNotContain(token, thief.Process.Output, StringComparison.Ordinal);
            Assert.DoesNotContain(token, bed.ControlPlane.Output, StringComparison.Ordinal);
            Assert.DoesNotContain((await bed.ControlPlane.GetAsync("/api/nodes")).GetProperty("nodes").EnumerateArray(), n => n.GetProperty("workload").GetString() == "web-2");
        });
    }

    [Fact]
    public async Task Of_many_that_try_one_token_at_once_one_is_admitted()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var token = await bed.ControlPlane.JoinTokenAsync("web");
            var all = new List<SidecarProcess>();
            for (var i = 0; i < 5; i++) all.Add(bed.Own(await SidecarProcess.LaunchAsync($"web-{i}", ["--control-plane", bed.ControlPlane.MeshApi, "--service", "web"], token)));

            await Eventually.HoldsAsync(() => all.Count(s => s.Process.HasExited || s.Process.Output.Contains("used", StringComparison.Ordinal)) == 4, "four are refused");
            await Eventually.PassesAsync(async () => Assert.Single((await bed.ControlPlane.GetAsync("/api/nodes")).GetProperty("nodes").EnumerateArray()));
        });
    }

    [Theory]
    [InlineData("--service", "web")]
    [InlineData("--workload", "web-1")]
    [InlineData("--namespace", "shop")]
    [InlineData("--address", "192.0.2.7")]
    public async Task A_sidecar_cannot_say_it_is_what_its_identity_is_not(string flag, string value)
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            await using var app = await EchoApp.StartAsync("mallory-app");
            var flags = new Dictionary<string, string>(StringComparer.Ordinal) { ["--service"] = "mallory" };
            var workload = "mallory-1";
            if (flag == "--workload") workload = value;
            else flags[flag] = value;
            var mallory = bed.Own(await SidecarProcess.LaunchAsync(
                workload, ["--control-plane", bed.ControlPlane.MeshApi, "--port", $"{app.Port}:http", .. flags.SelectMany(f => (string[])[f.Key, f.Value])], await bed.ControlPlane.JoinTokenAsync("mallory")));

            var client = await bed.AddClientAsync();
            using var http = client.Client();
            await Eventually.HoldsAsync(() => bed.ControlPlane.Output.Contains("is refused", StringComparison.Ordinal), "the control plane refuses and says so");
            for (var i = 0; i < 20; i++) Assert.Equal("web-1 GET /", await http.GetStringAsync("http://web/"));
            Assert.Equal(0, app.Requests);
            Assert.False(web.Sidecar.Process.HasExited);
            Assert.DoesNotContain("   at ", mallory.Process.Output, StringComparison.Ordinal);
        });
    }

    [Fact]
    public async Task A_valid_certificate_of_another_service_at_the_address_of_an_endpoint_gets_no_request()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var mallory = await bed.AddAsync("mallory", "mallory-1");
            // Whoever may write to the registry can say that web is served at mallory's address, and even that it is web.
            await bed.ControlPlane.RegisterAsync("web", "web-1", PortOf(mallory), ("protocol", "http"), ("mesh-identity", "spiffe://cluster.local/ns/default/sa/web"));
            var client = await bed.AddClientAsync();
            using var http = client.Client();
            await Eventually.PassesAsync(async () => Assert.Equal("mallory-1 GET /", await http.GetStringAsync("http://mallory/")));
            await AssertRefusedAsync(http, mallory.App);
            Assert.Contains("spiffe://cluster.local/ns/default/sa/mallory", client.Process.Output, StringComparison.Ordinal);
        });
    }

    [Fact]
    public async Task A_certificate_of_the_right_name_from_another_authority_gets_no_request()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await using var other = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var mallory = await other.AddAsync("web", "web-1");
            await bed.ControlPlane.RegisterAsync("web", "web-1", PortOf(mallory), ("protocol", "http"), ("mesh-identity", "spiffe://cluster.local/ns/default/sa/web"));
            var client = await bed.AddClientAsync();
            using var http = client.Client();
            await Eventually.PassesAsync(async () => Assert.Equal(HttpStatusCode.ServiceUnavailable, (await http.GetAsync("http://web/")).StatusCode));
            await AssertRefusedAsync(http, mallory.App);
        });
    }

    private static async Task AssertRefusedAsync(HttpClient http, EchoApp app)
    {
        var before = app.Requests;
        await Eventually.PassesAsync(async () =>
        {
            using var answer = await http.GetAsync("http://web/");
            Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        });
        for (var i = 0; i < 10; i++) Assert.Equal(HttpStatusCode.ServiceUnavailable, (await http.GetAsync("http://web/")).StatusCode);
        Assert.Equal(before, app.Requests);
    }

    private static int PortOf(Instance instance) => IPEndPoint.Parse(instance.Sidecar.Inbound(instance.App.Port)).Port;
}
