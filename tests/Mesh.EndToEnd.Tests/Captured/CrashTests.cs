using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;
using Xunit.Abstractions;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>What happens when a captured workload's sidecar or rules are gone for a while: failures that are seen, never a way past.</summary>
[Collection(CapturedShop.Group)]
public sealed class CrashTests(CapturedShop shop, ITestOutputHelper said)
{
    [SkippableFact]
    public Task A_killed_sidecar_fails_what_is_open_and_lets_nothing_past() => KillAsync(4);

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task A_sidecar_killed_a_hundred_times_fails_what_is_open_and_lets_nothing_past() => KillAsync(100);

    [SkippableTheory]
    [InlineData("customer", "nft flush ruleset")]
    [InlineData("buyer", "printf '*nat\nCOMMIT\n*filter\nCOMMIT\n*mangle\nCOMMIT\n*raw\nCOMMIT\n' | iptables-restore && printf '*nat\nCOMMIT\n*filter\nCOMMIT\n*mangle\nCOMMIT\n*raw\nCOMMIT\n' | ip6tables-restore")]
    public Task Rules_that_a_firewall_flushed_are_reported_missing_and_set_again(string who, string reload) => shop.RunAsync(async machines =>
    {
        var caller = who == "customer" ? machines.Customer : machines.Buyer;
        await Eventually.PassesAsync(async () => Assert.Equal(1, await caller.MetricAsync("mesh_sidecar_capture_rules ")), 30);
        var lost = await caller.MetricAsync("mesh_sidecar_capture_rules_lost_total");
        Assert.Equal("LIVE", (await caller.AdminAsync("/ready")).Trim());
        await caller.Host.MustAsync("sh", "-c", reload);
        var check = await caller.Host.RunAsync(0, "", Testbed.Programs.Sidecar, "capture", "check");
        Assert.Equal(1, check.Code);
        Assert.Contains("no rules are installed", check.Output, StringComparison.Ordinal);
        // The sidecar itself, which may not read rules, notices.
        await Eventually.PassesAsync(async () => Assert.Equal(0, await caller.MetricAsync("mesh_sidecar_capture_rules ")), 30);
        Assert.True(await caller.MetricAsync("mesh_sidecar_capture_rules_lost_total") > lost, "it is counted");
        Assert.Contains("LIVE\nthe capture rules are gone", await caller.AdminAsync("/ready"), StringComparison.Ordinal);
        Assert.Contains("error capture the capture rules are gone", caller.Log, StringComparison.Ordinal);

        await caller.InstallAsync();
        await caller.CaptureAsync("check");
        Assert.Contains($"URI=spiffe://cluster.local/ns/default/sa/{who}", (await caller.Host.CurlAsync("http://cart:8080/?headers")).Body, StringComparison.Ordinal);
        await Eventually.PassesAsync(async () => Assert.Equal(1, await caller.MetricAsync("mesh_sidecar_capture_rules ")), 30);
        Assert.Equal("LIVE", (await caller.AdminAsync("/ready")).Trim());
    });

    [SkippableTheory]
    [InlineData("customer", "nft -f -", "table inet firewalld\ndelete table inet firewalld\ntable inet firewalld {\n chain in {\n type filter hook input priority 10; policy accept;\n }\n chain nat {\n type nat hook output priority -100; policy accept;\n }\n}\n")]
    [InlineData("buyer", "iptables-restore --noflush", "*nat\n:THEIRS -\n-F THEIRS\n-A THEIRS -p tcp --dport 7777 -j RETURN\nCOMMIT\n")]
    public Task Rules_survive_a_firewall_that_sets_its_own_again(string who, string program, string rules) => shop.RunAsync(async machines =>
    {
        var caller = who == "customer" ? machines.Customer : machines.Buyer;
        await Eventually.PassesAsync(async () => Assert.Equal(1, await caller.MetricAsync("mesh_sidecar_capture_rules ")), 30);
        var lost = await caller.MetricAsync("mesh_sidecar_capture_rules_lost_total");
        for (var i = 0; i < 2; i++) Assert.Equal(0, (await caller.Host.RunAsync(0, rules, program.Split(' ')[0], program.Split(' ')[1..])).Code);
        await caller.CaptureAsync("check");
        Assert.Contains($"URI=spiffe://cluster.local/ns/default/sa/{who}", (await caller.Host.CurlAsync("http://cart:8080/?headers")).Body, StringComparison.Ordinal);
        Assert.Equal((1, lost), (await caller.MetricAsync("mesh_sidecar_capture_rules "), await caller.MetricAsync("mesh_sidecar_capture_rules_lost_total")));
    });

    [SkippableTheory]
    [InlineData(0)]
    [InlineData(1)]
    public Task Rules_checked_by_connections_work_in_both_directions(int number) => shop.RunAsync(async machines => await machines.Instances[number].CaptureAsync("check"));

    [SkippableTheory]
    [InlineData(0)]
    [InlineData(1)]
    public Task A_port_used_again_at_once_is_captured_again(int number) => shop.RunAsync(async machines =>
    {
        // Connection tracking still knows the connection that ended by a reset; a new one with the same addresses and ports must not pass for it.
        var instance = machines.Instances[number].Host;
        for (var i = 0; i < 15; i++)
        {
            var socket = machines.Outside.Namespace.Socket(AddressFamily.InterNetwork);
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
            socket.Bind(new IPEndPoint(IPAddress.Any, 40404));
            try
            {
                using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(5));
                await socket.ConnectAsync(new IPEndPoint(IPAddress.Parse(instance.Address), 8080), limit.Token);
                await Wire.SendAsync(socket, "GET /?headers HTTP/1.1\r\nHost: x\r\n\r\n");
                Assert.Contains("x-request-id", await Wire.ReadAsync(socket, t => t.Contains("x-request-id", StringComparison.Ordinal) || t.EndsWith("host: x\n", StringComparison.Ordinal)), StringComparison.Ordinal);
            }
            catch (SocketException)
            {
                // Refused is as good: it is not let past.
            }
            finally
            {
                Wire.Reset(socket);
            }
        }
    });

    [SkippableTheory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public Task While_a_sidecar_is_gone_nobody_gets_past_it_in_either_direction(int number) => shop.RunAsync(async machines =>
    {
        var instance = machines.Instances[number];
        var (own, outside) = number < 2 ? (instance.Host.Address, machines.Outside.Address) : ($"[{instance.Host.Address6}]", $"[{machines.Outside.Address6}]");
        await Eventually.PassesAsync(async () => Assert.Equal("200", (await machines.Outside.CurlAsync($"http://{own}:8080/")).Status));
        Assert.Contains("outside GET /", (await instance.Host.CurlAsync($"http://{outside}:8080/")).Body, StringComparison.Ordinal);
        await instance.KillAsync();
        try
        {
            foreach (var (from, to) in ((NetworkHost, string)[])[(machines.Outside, own), (instance.Host, outside), (instance.Host, own), (instance.Host, "cart"), (instance.Host, machines.Customer.Host.Address)])
            {
                var tried = await from.RunAsync("curl", "-sS", "--max-time", "3", $"http://{to}:8080/");
                // 7: refused. 28: no answer (TPROXY by iptables can only drop). 6: no name, since nobody answers DNS.
                Assert.True(tried.Code is 6 or 7 or 28 && tried.Output.Length == 0, $"{from.Name} to {to}: {tried.Code} {tried.All}");
            }
        }
        finally
        {
            instance.Restart();
            await instance.BecomeReadyAsync();
        }

        await Eventually.PassesAsync(async () => Assert.Equal("200", (await machines.Outside.CurlAsync($"http://{own}:8080/")).Status));
        await CapturedMesh.KnowsAsync(machines.Customer, number < 2 ? "cart" : "stock");
    });

    [SkippableFact]
    public async Task Killed_sidecars_answer_captured_calls_and_names_at_once_with_control_plane_and_consul_down()
    {
        await using var machines = await ConsulMachines.StartAsync();
        await machines.Mesh.RunAsync(async () =>
        {
            var (caller, pod) = (machines.Caller, machines.Pods[0]);
            using var http = caller.Host.Http();
            http.Timeout = TimeSpan.FromSeconds(5);
            var url = $"http://{(pod.Address.Contains(':', StringComparison.Ordinal) ? $"[{pod.Address}]" : pod.Address)}:8080/";
            await Eventually.PassesAsync(async () => Assert.StartsWith("pod-1 GET /", await http.GetStringAsync(url), StringComparison.Ordinal));
            var names = (await caller.Host.RunAsync("getent", "ahostsv4", "legacy")).Output;
            // What changed last is on disk within its pauses.
            foreach (var one in (CapturedWorkload[])[caller, pod])
            {
                await Eventually.HoldsAsync(async () => await one.MetricAsync("mesh_sidecar_kept_configuration_writes_total") > 0, "it is kept");
            }

            await Task.Delay(TimeSpan.FromSeconds(6));
            using var cut = machines.Mesh.Control.Cut();
            await machines.Agent.KillAsync();
            await pod.KillAsync();
            pod.Restart();
            await pod.BecomeReadyAsync();
            await Secrecy.HoldsAsync(machines.Mesh.Network, caller, pod, async () =>
            {
                List<double> took = [];
                for (var i = 0; i < 3; i++)
                {
                    await caller.KillAsync();
                    var begun = Stopwatch.StartNew();
                    caller.Restart();
                    await Eventually.PassesAsync(async () => Assert.StartsWith("pod-1 GET /", await http.GetStringAsync(url), StringComparison.Ordinal), 60);
                    took.Add(begun.Elapsed.TotalMilliseconds);
                }

                said.WriteLine($"from the start of the process to the first captured call's answer: {string.Join(", ", took.Select(ms => $"{ms:0} ms"))}");
                // Less than a second where nothing else runs; the machine that runs tests does much else.
                Assert.True(took.Min() < 10_000, $"the first captured calls were answered after {string.Join(", ", took)} ms");
            });
            Assert.Equal(names, (await caller.Host.RunAsync("getent", "ahostsv4", "legacy")).Output);
            Assert.Contains("serving a kept configuration", caller.Process.Output, StringComparison.Ordinal);
            Assert.Contains("pod-1 GET /", (await caller.Host.CurlAsync(url)).Body, StringComparison.Ordinal);
        });
    }

    private Task KillAsync(int times) => shop.RunAsync(async machines =>
    {
        var customer = machines.Customer;
        using var http = customer.Host.Http();
        http.Timeout = TimeSpan.FromSeconds(60); // A start takes its time on a busy machine; who waits for it longer hangs.
        var (v4, _) = await CapturedMesh.AddressesAsync(customer, "cart");
        await Eventually.HoldsAsync(async () => await customer.MetricAsync("mesh_sidecar_kept_configuration_writes_total") > 0, "its configuration is kept");
        using var tap = LanTap.Start(machines.Mesh.Network);
        var seen = new ConcurrentDictionary<string, int>(StringComparer.Ordinal);
        using var over = new CancellationTokenSource();
        var load = Enumerable.Range(0, 8).Select(_ => Task.Run(async () =>
        {
            while (!over.IsCancellationRequested) seen.AddOrUpdate(await AskAsync(http, v4), 1, (_, n) => n + 1);
        })).ToArray();
        for (var i = 0; i < times; i++)
        {
            var before = seen.GetValueOrDefault("secured");
            await Eventually.HoldsAsync(() => seen.GetValueOrDefault("secured") > before + 20, $"the load goes through after {i} kills");
            await customer.KillAsync();
            customer.Restart();
        }

        await customer.BecomeReadyAsync();
        Assert.Equal("secured", await AskAsync(http, v4));
        await over.CancelAsync();
        await Task.WhenAll(load);
        tap.Stop();
        var counts = string.Join(", ", seen.Select(s => $"{s.Key}: {s.Value}"));
        Assert.True(!seen.ContainsKey("past the sidecar") && !seen.ContainsKey("cut short"), counts);
        Assert.True(seen.Keys.All(k => k is "secured" or "refused" or "ended" || k.StartsWith("answered", StringComparison.Ordinal)), counts);
        // Only what was open when it was killed was cut off; all else was refused outright.
        Assert.InRange(seen.GetValueOrDefault("ended"), 0, times * load.Length);
        foreach (var cart in machines.Instances.Take(2)) Assert.True(tap.Problems(customer.Host, cart.Host) is [], string.Join('\n', tap.Problems(customer.Host, cart.Host)));
        // Whatever the kills met on disk was whole.
        Assert.DoesNotContain("the kept configuration is not used", customer.Log, StringComparison.Ordinal);
    });

    /// <summary>What became of one request. The application answers with the fields it received, the caller's identity among them.</summary>
    private static async Task<string> AskAsync(HttpClient http, string address)
    {
        try
        {
            using var answer = await http.GetAsync($"http://{address}:8080/?headers");
            if (!answer.IsSuccessStatusCode) return $"answered {(int)answer.StatusCode}";
            var body = await answer.Content.ReadAsStringAsync();
            return body.Contains("sa/customer", StringComparison.Ordinal) ? "secured" : body.Contains("host:", StringComparison.Ordinal) ? "past the sidecar" : "cut short";
        }
        catch (HttpRequestException e)
        {
            return e.HttpRequestError == HttpRequestError.ConnectionError ? "refused" : "ended";
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            return "refused";
        }
        catch (TaskCanceledException)
        {
            return "hung";
        }
    }
}
