using Mesh.Tests;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Mesh.EndToEnd.Tests.Testbed;

/// <summary>
/// A small mesh of real processes on this machine: one control plane, sidecars, and applications inside the test. Everything ends with it.
/// </summary>
internal sealed class MeshTestbed : IAsyncDisposable
{
    private readonly List<IAsyncDisposable> owned = [];
    private ConsulProcess? consul;

    private MeshTestbed(ControlPlaneProcess controlPlane) => ControlPlane = controlPlane;

    /// <summary>The control plane.</summary>
    public ControlPlaneProcess ControlPlane { get; }

    /// <summary>Starts the control plane, on a real Consul when asked to (skips the test when there is none).</summary>
    public static async Task<MeshTestbed> StartAsync(bool withConsul = false, ControlPlaneShape? shape = null)
    {
        var registry = withConsul ? await ConsulProcess.StartAsync() : null;
        return new MeshTestbed(await ControlPlaneProcess.StartAsync((shape ?? new ControlPlaneShape()) with { Consul = registry?.Address })) { consul = registry };
    }

    /// <summary>The same for a test whose xDS clients have no identity.</summary>
    public static Task<MeshTestbed> StartPlaintextAsync(bool withConsul = false) => StartAsync(withConsul, new ControlPlaneShape { Plaintext = true });

    /// <summary>An application with its sidecar.</summary>
    public async Task<Instance> AddAsync(
        string service, string id, string version = "v1", string protocol = "http", HttpProtocols app = HttpProtocols.Http1, params string[] more)
    {
        var echo = await EchoApp.StartAsync(id, app);
        Own(echo);
        return await AddBeforeAsync(echo, service, id, version, protocol, more);
    }

    /// <summary>A sidecar before an application that runs already.</summary>
    public async Task<Instance> AddBeforeAsync(EchoApp echo, string service, string id, string version, string protocol, params string[] more) =>
        new(echo, await JoinAsync(service, id, ["--version-label", version, "--port", $"{echo.Port}:{protocol}", .. more]));

    /// <summary>A sidecar before a port that somebody else serves.</summary>
    public Task<SidecarProcess> AddPortAsync(string service, string id, int port, string protocol, params string[] more) =>
        JoinAsync(service, id, ["--port", protocol.Length > 0 ? $"{port}:{protocol}" : $"{port}", .. more]);

    /// <summary>A sidecar of a client that serves nothing.</summary>
    public Task<SidecarProcess> AddClientAsync(string service = "client", params string[] more) => JoinAsync(service, $"{service}-{owned.Count}", more);

    /// <summary>A sidecar of a service, with the identity of the account of its name in its namespace.</summary>
    public async Task<SidecarProcess> JoinAsync(string service, string id, string[] arguments)
    {
        var ns = Array.IndexOf(arguments, "--namespace") is >= 0 and var at ? arguments[at + 1] : "default";
        var token = await ControlPlane.JoinTokenAsync(service, ns);
        return Own(await SidecarProcess.StartAsync(id, token, ["--control-plane", ControlPlane.MeshApi, "--service", service, .. arguments]));
    }

    /// <summary>Lets something end with the testbed.</summary>
    public T Own<T>(T one)
        where T : IAsyncDisposable
    {
        owned.Add(one);
        return one;
    }

    /// <summary>Runs the body of a test; when it fails, the logs of all processes become part of the error.</summary>
    public async Task RunAsync(Func<Task> test)
    {
        try
        {
            await test();
        }
        catch (Exception e) when (e is not SkipException)
        {
            var logs = owned.OfType<SidecarProcess>().Select(s => $"=== sidecar {s.Workload}\n{Tail(s.Process.Output)}").Prepend($"=== control plane\n{Tail(ControlPlane.Output)}");
            throw new TestbedException(e.Message + "\n" + string.Join('\n', logs), e);
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var one in Enumerable.Reverse(owned)) await one.DisposeAsync();
        await ControlPlane.DisposeAsync();
        if (consul is not null) await consul.DisposeAsync();
    }

    private static string Tail(string output) => string.Join('\n', output.Split('\n').TakeLast(25));
}

/// <summary>An application and its sidecar.</summary>
internal sealed record Instance(EchoApp App, SidecarProcess Sidecar);

/// <summary>A failed test with the logs of its processes.</summary>
internal sealed class TestbedException(string message, Exception inner) : Exception(message, inner);
