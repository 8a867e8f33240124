using Mesh.EndToEnd.Tests.Testbed.Network;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>Destinations nobody knows, where only what is registered may be called; a machine with several addresses; a network that fails.</summary>
public sealed class UnknownTests
{
    [SkippableFact]
    public async Task Only_what_is_registered_may_be_called_and_a_refusal_is_words()
    {
        await using var mesh = await CapturedMesh.StartAsync("--outbound-policy", "registry-only");
        await mesh.RunAsync(async () =>
        {
            var caller = mesh.AddAsync("caller", "caller");
            var web = await mesh.AddAsync("web", "web", new CaptureShape { Ports = ["8080:http"] });
            await web.Host.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), "web", "8080");
            var outside = mesh.Network.Add("outside", lan: 1);
            await outside.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), "outside", "8080");
            await CapturedMesh.KnowsAsync(await caller, "web");
            var host = (await caller).Host;
            Assert.StartsWith("web GET / ", (await host.CurlAsync("http://web:8080/")).Body, StringComparison.Ordinal);
            foreach (var address in (string[])[outside.Address, $"[{outside.Address6}]"])
            {
                var refused = await host.CurlAsync($"http://{address}:8080/");
                Assert.True(refused.Status is "502" or "503" or "000", refused.All);
                Assert.DoesNotContain("outside GET", refused.Body, StringComparison.Ordinal);
            }

            Assert.Contains("BlackHoleCluster", (await caller).Log, StringComparison.Ordinal);
        });
    }

    [SkippableFact]
    public async Task Inside_the_meshs_ranges_not_knowing_is_a_refusal_within_two_seconds_and_what_was_said_holds()
    {
        await using var mesh = await CapturedMesh.StartAsync("--pod-range", "10.80.0.0/16", "--pod-range", "fd88:1::/64");
        await mesh.RunAsync(async () =>
        {
            var caller = await mesh.AddAsync("caller", "caller");
            var (known, other) = (mesh.Network.Add("known"), mesh.Network.Add("other"));
            foreach (var plain in (NetworkHost[])[known, other]) await plain.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), plain.Name, "8080");
            var host = caller.Host;
            // Nobody of the mesh is there, says the control plane; so it goes on, by name of nobody.
            await Mesh.Tests.Eventually.PassesAsync(async () =>
            {
                foreach (var url in (string[])[$"http://{known.Address}:8080/", $"http://[{known.Address6}]:8080/"]) Assert.StartsWith("known GET /", (await host.CurlAsync(url)).Body, StringComparison.Ordinal);
            });
            using (mesh.Control.Drop("tcp dport 15012"))
            {
                // What was said holds.
                Assert.StartsWith("known GET /", (await host.CurlAsync($"http://{known.Address}:8080/")).Body, StringComparison.Ordinal);
                Assert.StartsWith("known GET /", (await host.CurlAsync($"http://[{known.Address6}]:8080/")).Body, StringComparison.Ordinal);
                var before = await caller.MetricAsync("mesh_sidecar_capture_refused_total", "reason=\"unanswered\"");
                foreach (var flags in (string[][])[[$"http://{other.Address}:8080/"], [$"http://[{other.Address6}]:8080/"], ["-x", "http://127.0.0.1:15001", $"http://{other.Address}:8080/"], ["-p", "-x", "http://127.0.0.1:15001", $"http://{other.Address}:8080/"]])
                {
                    var began = System.Diagnostics.Stopwatch.StartNew();
                    var refused = await host.CurlAsync(flags);
                    Assert.InRange(began.Elapsed.TotalSeconds, 0, 4); // two, and what a busy machine takes to run curl
                    Assert.Contains("502", refused.All, StringComparison.Ordinal);
                    if (!flags.Contains("-p")) Assert.Contains("the control plane could not say who is there", refused.Body, StringComparison.Ordinal);
                }

                using var socket = await host.ConnectAsync(other.Address, 8080);
                await Wire.SendAsync(socket, "*1\r\n$4\r\nPING\r\n");
                Assert.Equal("reset", await Wire.EndAsync(socket));
                Assert.Equal(before + 5, await caller.MetricAsync("mesh_sidecar_capture_refused_total", "reason=\"unanswered\""));
            }

            // It answers again, and at once.
            await Mesh.Tests.Eventually.PassesAsync(async () => Assert.StartsWith("other GET /", (await host.CurlAsync($"http://{other.Address}:8080/")).Body, StringComparison.Ordinal));
        });
    }

    [SkippableFact]
    public async Task A_cable_that_is_cut_and_mended_is_an_outage_and_nothing_more()
    {
        await using var mesh = await CapturedMesh.StartAsync();
        await mesh.RunAsync(async () =>
        {
            var caller = await mesh.AddAsync("caller", "caller");
            var web = await mesh.AddAsync("web", "web", new CaptureShape { Ports = ["8080:http"] });
            await web.Host.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), "web", "8080");
            await CapturedMesh.KnowsAsync(caller, "web");
            var host = caller.Host;
            Assert.Equal("200", (await host.CurlAsync("http://web:8080/")).Status);
            // Without the control plane everything goes on: names, addresses, traffic.
            using (mesh.Control.Cut())
            {
                for (var i = 0; i < 3; i++) Assert.Equal("200", (await host.CurlAsync("http://web:8080/")).Status);
            }

            using (web.Host.Drop("tcp dport 8080")) Assert.NotEqual("200", (await host.CurlAsync("--max-time", "2", "http://web:8080/")).Status);
            using (web.Host.Reset("tcp dport 15006")) Assert.Equal("503", (await host.CurlAsync("http://web:8080/", "--max-time", "10")).Status);
            await Mesh.Tests.Eventually.PassesAsync(async () => Assert.Equal("200", (await host.CurlAsync("--max-time", "2", "http://web:8080/")).Status));
        });
    }
}
