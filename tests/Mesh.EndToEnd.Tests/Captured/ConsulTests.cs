using System.Text.Json;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;
using static Mesh.EndToEnd.Tests.Captured.ProtocolNetwork;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>Names and destinations with a real Consul: what it alone knows, services without an address of their own, programs that resolve by themselves, and outages.</summary>
public sealed class ConsulTests
{
    [SkippableFact]
    public async Task What_a_real_consul_knows_is_found_and_called()
    {
        await using var machines = await ConsulMachines.StartAsync();
        await machines.Mesh.RunAsync(async () =>
        {
            await TheOldWorldIsCalledAsItIsAsync(machines);
            await InstancesAreFoundAndCalledAsThemselvesAsync(machines);
            await ConsulKnowsTheInstancesAsync(machines);
            var before = await NamesAsync(machines.Caller.Host);
            using (machines.Mesh.Control.Cut())
            {
                await machines.Agent.KillAsync();
                Assert.Equal(before, await NamesAsync(machines.Caller.Host));
                await TheOldWorldIsCalledAsItIsAsync(machines);
                await InstancesAreFoundAndCalledAsThemselvesAsync(machines);
            }
        });
    }

    /// <summary>Who has no sidecar hears plaintext from the caller's machine, by the virtual address of either name and by its own.</summary>
    private static async Task TheOldWorldIsCalledAsItIsAsync(ConsulMachines machines)
    {
        var caller = machines.Caller.Host;
        var (v4, v6) = await CapturedMesh.AddressesAsync(machines.Caller, "legacy");
        Assert.StartsWith("24", v4, StringComparison.Ordinal);
        foreach (var name in (string[])["legacy", "legacy.service.consul", "legacy.default.svc.cluster.local"])
        {
            var found = await caller.RunAsync("getent", "ahosts", name);
            Assert.True(found.Output.Contains(v4, StringComparison.Ordinal) && found.Output.Contains(v6, StringComparison.Ordinal), found.All);
        }

        foreach (var address in (string[])["legacy", "legacy.service.consul", v4, v6, machines.Legacy.Address])
        {
            using var socket = await caller.ConnectAsync(address, 2525);
            Assert.Equal($"220 legacy hears {caller.Address}\r\n", await Wire.ReadUntilAsync(socket, "\r\n"));
            await Wire.SendAsync(socket, "hello");
            Assert.Equal("hello", await Wire.ReadUntilAsync(socket, "hello"));
        }

        foreach (var address in (string[])["legacy-web", "legacy-web.service.consul", machines.Legacy.Address])
        {
            var answer = await caller.CurlAsync($"http://{address}:8080/");
            Assert.True(answer.Output == $"legacy GET / from {caller.Address} at {machines.Legacy.Address} HTTP/1.1\n200", answer.All);
        }
    }

    /// <summary>A name without an address of its own is its instances; each is called by its own address, and proves that it is that one.</summary>
    private static async Task InstancesAreFoundAndCalledAsThemselvesAsync(ConsulMachines machines)
    {
        var caller = machines.Caller.Host;
        var addresses = machines.Pods.Select(p => p.Address).Order().ToArray();
        foreach (var name in (string[])["pods", "pods.service.consul", "pods.default.svc.cluster.local"])
        {
            Assert.Equal(addresses, Lines((await caller.RunAsync("dig", "+short", "+search", name)).Output));
            Assert.Equal(addresses, Lines((await caller.RunAsync("getent", "ahostsv4", name)).Output).Select(l => l.Split(' ')[0]).Distinct());
            Assert.Equal(addresses, Lines((await caller.RunAsync(Programs.EchoApp, "resolve", name)).Output).SelectMany(l => l.Split(' ', ',')).Intersect(addresses).Order());
        }

        foreach (var pod in machines.Pods)
        {
            await Secrecy.HoldsAsync(machines.Mesh.Network, machines.Caller, pod, async () =>
            {
                Assert.StartsWith($"{pod.Host.Name} GET / ", (await caller.CurlAsync($"http://{pod.Address}:8080/")).Body, StringComparison.Ordinal);
                using var socket = await caller.ConnectAsync(pod.Address, 2525);
                Assert.StartsWith($"220 {pod.Host.Name} hears ", await Wire.ReadUntilAsync(socket, "\r\n"), StringComparison.Ordinal);
            });
        }
    }

    private static async Task ConsulKnowsTheInstancesAsync(ConsulMachines machines)
    {
        using var http = machines.Consul.Http();
        await Eventually.PassesAsync(async () =>
        {
            using var known = JsonDocument.Parse(await http.GetStringAsync($"http://{machines.Consul.Address}:8500/v1/health/service/pods?passing"));
            Assert.Equal(machines.Pods.Select(p => p.Endpoint(8080)).Order(), known.RootElement.EnumerateArray().Select(e => e.GetProperty("Service")).Select(s => $"{s.GetProperty("Address")}:{s.GetProperty("Port")}").Order());
        });

        // A program that asks Consul's own DNS, past resolv.conf, gets the same addresses; what it calls there is called as above.
        var asked = await machines.Caller.Host.RunAsync("dig", "+short", $"@{machines.Consul.Address}", "-p", "8600", "pods.service.consul");
        Assert.True(Lines(asked.Output).SequenceEqual(machines.Pods.Select(p => p.Address).Order()), asked.All);

        // Who is in no mesh finds them there and calls them as ever.
        var called = await machines.Legacy.CurlAsync($"http://{InUrl(machines.Pods[0].Address)}:8080/");
        Assert.StartsWith("pod-1 GET / ", called.Body, StringComparison.Ordinal);
    }

    private static async Task<string> NamesAsync(NetworkHost host) =>
        string.Concat(await Task.WhenAll(new[] { "legacy", "legacy-web.service.consul", "pods", "caller" }.Select(async name => string.Join(' ', Lines((await host.RunAsync("dig", "+short", "+search", name)).Output)) + "\n")));

    private static string[] Lines(string text) => [.. text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order()];
}
