using System.Text.RegularExpressions;
using Mesh.Api.Operators;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Testbed.Network;

/// <summary>
/// A mesh on a <see cref="NetworkTestbed"/>: a machine with the control plane, and machines whose traffic is captured. For one test or one fixture;
/// everything ends with it.
/// </summary>
internal sealed class CapturedMesh : IAsyncDisposable
{
    private readonly List<CapturedWorkload> workloads = [];

    private CapturedMesh(NetworkTestbed network, NetworkHost control, ControlPlaneProcess controlPlane) =>
        (Network, Control, ControlPlane) = (network, control, controlPlane);

    /// <summary>The machines.</summary>
    public NetworkTestbed Network { get; }

    /// <summary>The machine of the control plane.</summary>
    public NetworkHost Control { get; }

    /// <summary>The control plane.</summary>
    public ControlPlaneProcess ControlPlane { get; }

    /// <summary>Starts a network with a control plane; skips the test, with the reason, where that cannot be.</summary>
    public static async Task<CapturedMesh> StartAsync(params string[] controlPlaneFlags)
    {
        var network = NetworkTestbed.Create();
        try
        {
            return await StartAsync(network, new ControlPlaneShape { More = controlPlaneFlags });
        }
        catch
        {
            await network.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts a control plane on a machine of its own; the network ends with the mesh.</summary>
    public static async Task<CapturedMesh> StartAsync(NetworkTestbed network, ControlPlaneShape shape)
    {
        ExternalProgram.Require("curl");
        var control = network.Add("control");
        return new CapturedMesh(network, control, await ControlPlaneProcess.StartAsync(shape with { Host = control }));
    }

    /// <summary>The captured machines.</summary>
    public IReadOnlyList<CapturedWorkload> Workloads
    {
        get
        {
            lock (workloads) return [.. workloads];
        }
    }

    /// <summary>Adds a captured machine of a service; with ports it serves them.</summary>
    public async Task<CapturedWorkload> AddAsync(string name, string service, CaptureShape? shape = null)
    {
        var wanted = shape ?? new CaptureShape();
        var host = Network.Add(name, wanted.Lan);
        if (wanted.Resolver is { } resolver) host.Namespace.WriteResolvConf($"nameserver {resolver}\noptions timeout:1 attempts:2\n");
        var address = wanted.IsV6 ? host.Address6 : host.Address;
        var token = await ControlPlane.JoinTokenAsync(new TokenRequest { Identity = $"ns/default/sa/{wanted.Account ?? service}", Serves = [service], Addresses = wanted.IsGranted ? [host.Address, host.Address6] : [] });
        var control = ControlPlane.MeshApi;
        if (wanted.ControlPlane.Length > 0)
        {
            host.Namespace.WriteHosts(string.Concat(wanted.ControlPlane.Select(known => $"{known} control\n")));
            control = $"control{control[control.LastIndexOf(':')..]}";
        }

        var made = await CapturedWorkload.StartAsync(host, service, wanted, token, ["--address", address, "--control-plane", control, "--workload", name, "--access-log", "all"]);
        lock (workloads) workloads.Add(made);
        return made;
    }

    /// <summary>The virtual addresses of a service as a workload's sidecar knows them: IPv4, IPv6.</summary>
    public static async Task<(string V4, string V6)> AddressesAsync(CapturedWorkload seenBy, string service)
    {
        var line = Match.Empty;
        await Eventually.PassesAsync(async () =>
        {
            var names = await seenBy.AdminAsync("/dns");
            line = Regex.Match(names, $@"^{service}\.default\.svc[^:]*: ([0-9.]+) ([0-9a-f:]+)$", RegexOptions.Multiline);
            Assert.True(line.Success, $"no addresses of {service} in {names}");
        });
        return (line.Groups[1].Value, line.Groups[2].Value);
    }

    /// <summary>Waits until a workload's sidecar knows an endpoint of a service.</summary>
    public static Task KnowsAsync(CapturedWorkload workload, string service) => Eventually.PassesAsync(async () => Assert.Matches(
        $@"outbound\|\d+\|\|{service}\.default\.svc\.cluster\.local::[^:]+.*::health_flags::healthy", await workload.AdminAsync("/clusters")));

    /// <summary>Waits until a workload's sidecar knows these instances, each with every port that it declares.</summary>
    public static Task KnowsAsync(CapturedWorkload workload, params CapturedWorkload[] instances) => Eventually.PassesAsync(async () =>
    {
        var known = await workload.AdminAsync("/clusters");
        foreach (var instance in instances)
        {
            foreach (var port in instance.Ports)
            {
                var healthy = $"outbound|{port}||{instance.Service}.default.svc.cluster.local::{instance.Endpoint(port)}::health_flags::healthy";
                Assert.True(known.Contains(healthy, StringComparison.Ordinal), $"{workload.Host.Name} does not know {healthy}: {known}");
            }
        }
    });

    /// <summary>A python program of these tests.</summary>
    public static string Script(string name) => Path.Combine(Programs.Root, "tests/Mesh.EndToEnd.Tests/Testbed/Network", name);

    /// <summary>Runs the body of a test; when it fails, the logs of all processes become part of the error.</summary>
    public async Task RunAsync(Func<Task> test)
    {
        try
        {
            await test();
        }
        catch (Exception e) when (e is not SkipException)
        {
            var logs = Workloads.Select(w => $"=== sidecar of {w.Host.Name}\n{Tail(w.Log)}").Prepend($"=== control plane\n{Tail(ControlPlane.Output)}");
            throw new TestbedException($"{e.Message}\n{e.StackTrace}\n{string.Join('\n', logs)}", e);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await ControlPlane.DisposeAsync();
        await Network.DisposeAsync();
    }

    private static string Tail(string output) => string.Join('\n', output.Split('\n').TakeLast(25));
}
