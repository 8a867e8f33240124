using System.Net;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;
using Xunit.Abstractions;

namespace Mesh.Sidecar.Tests.Listening;

/// <summary>What the first question after a change of configuration costs: 5,000 services of two instances.</summary>
public sealed class RegisteredAddressesTests(ITestOutputHelper output)
{
    [Fact]
    public void TheAddressesOfALargeMeshAreWorkedOutInNoTimeToSpeakOf()
    {
        var clusters = Enumerable.Range(0, 5000).Select(number => new Cluster
        {
            Name = $"outbound|80||s{number}",
            Kind = ClusterKind.Endpoints,
            Policy = LbPolicy.RoundRobin,
            Endpoints = Bed.Cluster(Address(number * 2), Address((number * 2) + 1)).Endpoints,
            Service = new ServiceLabels($"s{number}.default.svc.cluster.local", $"s{number}", "default", 80),
            State = new ClusterState(),
        }).ToArray();
        var best = double.MaxValue;
        for (var round = 0; round < 10; round++)
        {
            var registered = new RegisteredAddresses();
            var snapshot = new Snapshot { Number = 1, Listeners = [], Clusters = [.. clusters] };
            var begun = ThreadTime.Now();
            Assert.True(registered.Has(snapshot, Address(9999).Address));
            best = Math.Min(best, (ThreadTime.Now() - begun).TotalMilliseconds);
            Assert.False(registered.Has(snapshot, IPAddress.Parse("192.0.2.1")));
        }

        output.WriteLine($"{best:0.0} ms");
        Assert.True(best < 100, $"{best:0.0} ms");
    }

    private static IPEndPoint Address(int number) => new(new IPAddress([10, (byte)(number / 62500), (byte)(number / 250 % 250), (byte)((number % 250) + 1)]), 8080);
}
