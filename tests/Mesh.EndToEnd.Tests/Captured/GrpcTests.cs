using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;
using static Mesh.EndToEnd.Tests.Captured.ProtocolNetwork;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>gRPC's C core and ghz through capture and mutual TLS, on a port that declares gRPC and on one that declares nothing.</summary>
[Collection(ProtocolMachines.Group)]
public sealed class GrpcTests(ProtocolMachines machines)
{
    private static readonly string[] Ports = ["50051:grpc:grpc", "50052"];

    [SkippableTheory]
    [InlineData(50051)]
    [InlineData(50052)]
    public Task Grpc_of_the_four_kinds(int port) => machines.RunOnServerAsync("grpc", Ports, Servers.GrpcAsync, async (network, address) =>
    {
        var called = await network.Client.Host.RunAsync(CapturedShop.Python, CapturedMesh.Script("grpc_app.py"), "call", $"{InUrl(address)}:{port}");
        Assert.True(called.Code == 0, called.All);
        var lines = called.Output.Split('\n');
        Assert.StartsWith("hello ", lines[0], StringComparison.Ordinal);
        Assert.Contains("URI=spiffe://cluster.local/ns/default/sa/client", lines[0], StringComparison.Ordinal);
        Assert.Equal(["['x', 'x', 'x']", "4", "['1', '2']", "FAILED_PRECONDITION you said so"], lines[1..5]);
    });

    [SkippableTheory]
    [InlineData(50051)]
    [InlineData(50052)]
    public Task Grpc_under_load(int port) => machines.RunAsync(async network =>
    {
        var ghz = ExternalProgram.Require("ghz");
        await network.ServerAsync("grpc", Ports, Servers.GrpcAsync);
        await network.WaysAsync("grpc");
        foreach (var method in (string[])["Unary", "Talk"])
        {
            var ran = await network.Client.Host.RunAsync(ghz, "--insecure", "--proto", CapturedMesh.Script("echo.proto"), "--call", $"mesh.lab.Echo/{method}", "-d", "{\"text\":\"x\"}",
                "-n", "600", "-c", "10", "--connections", "3", "--timeout", "30s", $"grpc:{port}");
            Assert.True(ran.Code == 0 && ran.Output.Contains("[OK]   600 responses", StringComparison.Ordinal), ran.All);
        }
    });
}
