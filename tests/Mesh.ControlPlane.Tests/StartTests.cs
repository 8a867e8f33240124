using Envoy.Config.Endpoint.V3;
using Envoy.Service.Discovery.V3;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Tests.Sources.Consul;
using Mesh.ControlPlane.Tests.Xds;
using Mesh.ControlPlane.Xds;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests;

/// <summary>A control plane that starts while its registry is away.</summary>
public sealed class StartTests
{
    private const string Web = "outbound|80||web.default.svc.cluster.local";

    [Fact]
    public async Task Rules_serve_those_who_have_nothing_and_the_others_keep_what_they_have()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder["rules"]);
        await File.WriteAllTextAsync(Path.Combine(folder["rules"], "web.yaml"), """
            {apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{name: http, port: 80}]}}
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: web, labels: {kubernetes.io/service-name: web}}
            addressType: IPv4
            ports: [{name: http, port: 8080}]
            endpoints: [{addresses: [10.0.0.1]}]
            """);
        var address = new Uri($"http://127.0.0.1:{FreePorts.One()}");
        var any = ListenAddress.Parse("127.0.0.1:0");
        var options = new Options { Data = folder["data"], Xds = [any], Health = any, Operators = any, Registry = any, ReplicaId = "test", Consul = address, Rules = folder["rules"] };
        var time = new ManualTimeProvider();
        await using var program = await ControlPlaneProgram.StartAsync(options, time, Log.Silent);
        using var channel = new GrpcChannel(program.Addresses["xds"]);

        await using var fresh = new AdsClient(channel, "sidecar~127.0.0.1~fresh~default");
        await fresh.AskAsync(ResourceKind.Endpoints, Web);
        await using var returning = new AdsClient(channel, "sidecar~127.0.0.1~back~default");
        await returning.SendAsync(new DiscoveryRequest { TypeUrl = ResourceKind.Endpoints.TypeUrl, ResourceNames = { Web }, VersionInfo = "of an earlier stream" });
        var toFresh = fresh.ReadAsync(ResourceKind.Endpoints);
        var toReturning = returning.ReadAsync(ResourceKind.Endpoints);
        var start = time.GetUtcNow();
        await PassUntilAsync(time, toFresh);
        Assert.True(time.GetUtcNow() - start >= TimeSpan.FromSeconds(14), "it did not wait for the registry");
        Assert.Equal(["10.0.0.1"], AddressesOf(await toFresh));
        for (var i = 0; i < 60; i++) await PassAsync(time);
        Assert.False(toReturning.IsCompleted);

        await using var consul = await FakeConsul.StartAsync(address);
        consul.Set("web", FakeConsul.Foreign("web-1", 80, address: "10.0.0.2"));
        await PassUntilAsync(time, toReturning);
        Assert.Contains("10.0.0.2", AddressesOf(await toReturning));
    }

    private static async Task PassUntilAsync(ManualTimeProvider time, Task task)
    {
        var limit = DateTime.UtcNow + TimeSpan.FromSeconds(25);
        while (!task.IsCompleted)
        {
            Assert.True(DateTime.UtcNow < limit, "nothing was sent");
            await PassAsync(time);
        }
    }

    private static async Task PassAsync(ManualTimeProvider time)
    {
        time.Advance(TimeSpan.FromMilliseconds(500));
        await Task.Delay(5);
    }

    private static string[] AddressesOf(DiscoveryResponse response) =>
        [.. response.Resources.SelectMany(r => r.Unpack<ClusterLoadAssignment>().Endpoints).SelectMany(l => l.LbEndpoints).Select(e => e.Endpoint.Address.SocketAddress.Address)];
}
