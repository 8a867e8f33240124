using System.Text.Json;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Traffic;

/// <summary>A sidecar that captures, with a real control plane and no rules of the kernel: what both tell each other holds together.</summary>
public sealed class CapturedSidecarTests
{
    [Fact]
    public async Task It_takes_its_listeners_registers_its_own_ports_and_addresses_outlive_the_control_plane()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            await bed.AddAsync("cart", "cart-1");
            await using var echo = await EchoApp.StartAsync("web-app");
            var web = await bed.JoinAsync("web", "web-1",
                ["--port", $"{echo.Port}:http", "--capture", "redirect", "--inbound-capture", "0", "--dns", "0", "--address", "127.0.0.1"]);

            // Not redirected: the socket is a proxy, on either family.
            foreach (var outbound in web.Ports.GetProperty("capture").GetProperty("outbound").EnumerateArray().Select(address => address.GetString()))
            {
                using var http = new HttpClient(new SocketsHttpHandler { Proxy = new System.Net.WebProxy($"http://{outbound}"), UseProxy = true });
                await Eventually.PassesAsync(async () => Assert.Equal("cart-1 GET /", await http.GetStringAsync("http://cart/")));
            }

            var listeners = await bed.ControlPlane.Http.GetStringAsync($"http://{web.Admin}/listeners");
            foreach (var name in new[] { "outbound", "outbound6", "inbound", "inbound6" }) Assert.Contains($"{name}::", listeners, StringComparison.Ordinal);
            Assert.Contains("mesh_sidecar_xds_refused_total 0", await bed.ControlPlane.Http.GetStringAsync($"http://{web.Metrics}/metrics"), StringComparison.Ordinal);
            var before = await ServiceAsync(bed, "default/web");
            Assert.Equal((echo.Port, true), (before.GetProperty("ports")[0].GetProperty("endpoints")[0].GetProperty("port").GetInt32(), before.GetProperty("ports")[0].GetProperty("endpoints")[0].GetProperty("instance").GetProperty("captured").GetBoolean()));
            Assert.Equal(2, before.GetProperty("addresses").GetArrayLength());

            await bed.ControlPlane.RestartAsync();
            await Eventually.PassesAsync(async () =>
                Assert.Equal(before.GetProperty("addresses").ToString(), (await ServiceAsync(bed, "default/web")).GetProperty("addresses").ToString()));
        });
    }

    private static async Task<JsonElement> ServiceAsync(MeshTestbed bed, string name) =>
        (await bed.ControlPlane.GetAsync("/debug/world")).GetProperty("services").EnumerateArray().Single(service => service.GetProperty("name").GetString() == name);
}
