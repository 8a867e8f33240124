using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>What happens when a captured workload's sidecar or rules are gone for a while: failures that are seen, never a way past.</summary>
[Collection(CapturedShop.Group)]
public sealed class CrashTests(CapturedShop shop)
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

    private Task KillAsync(int times) => shop.RunAsync(async machines =>
    {
        var customer = machines.Customer;
        using var http = customer.Host.Http();
        http.Timeout = TimeSpan.FromSeconds(5);
        var (v4, _) = await CapturedMesh.AddressesAsync(customer, "cart");
        var seen = new ConcurrentDictionary<string, int>(StringComparer.Ordinal);
        using var over = new CancellationTokenSource();
        var load = Enumerable.Range(0, 8).Select(_ => Task.Run(async () =>
        {
            while (!over.IsCancellationRequested) seen.AddOrUpdate(await AskAsync(http, v4), 1, (_, n) => n + 1);
        })).ToArray();
        var slowest = TimeSpan.Zero;
        for (var i = 0; i < times; i++)
        {
            var before = seen.GetValueOrDefault("secured");
            await Eventually.HoldsAsync(() => seen.GetValueOrDefault("secured") > before + 20, "the load goes through");
            await customer.KillAsync();
            var waited = Stopwatch.StartNew();
            customer.Restart();
            await customer.BecomeReadyAsync();
            if (waited.Elapsed > slowest) slowest = waited.Elapsed;
            Assert.Equal("secured", await AskAsync(http, v4));
        }

        await over.CancelAsync();
        await Task.WhenAll(load);
        var counts = string.Join(", ", seen.Select(s => $"{s.Key}: {s.Value}"));
        Assert.True(!seen.ContainsKey("past the sidecar") && !seen.ContainsKey("cut short"), counts);
        Assert.True(seen.Keys.All(k => k is "secured" or "refused" or "ended" || k.StartsWith("answered", StringComparison.Ordinal)), counts);
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
