using System.Collections.Immutable;
using System.Net;
using Mesh.ControlPlane.Destinations;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Tests.Model;
using Mesh.Tests;
using Xunit.Abstractions;

namespace Mesh.ControlPlane.Tests.Destinations;

/// <summary>What the first question after a change of the world costs: 5,000 services of two instances, all with two virtual addresses.</summary>
public sealed class DestinationIndexTests(ITestOutputHelper output)
{
    private const int Services = 5000;

    [Fact]
    public void A_large_world_is_indexed_in_no_time_to_speak_of()
    {
        var instances = Enumerable.Range(0, Services * 2).Select(number => Given.Workload($"s{number / 2}-{number % 2}", $"s{number / 2}", "8080:http:http") with
        {
            Address = $"10.{number / 62500}.{number / 250 % 250}.{(number % 250) + 1}",
            MoreAddresses = [$"fd00::{number + 1:x}"],
        }).ToImmutableArray();
        var world = Given.World(instances, new RuleSet());
        Assert.Equal(Services, world.Services.Count);
        DestinationIndex? index = null;
        var best = double.MaxValue;
        for (var round = 0; round < 10; round++)
        {
            var begun = ThreadTime.Now();
            index = new DestinationIndex(world);
            best = Math.Min(best, (ThreadTime.Now() - begun).TotalMilliseconds);
        }

        output.WriteLine($"{best:0.0} ms");
        Assert.Equal("s1-0", Assert.Single(index!.Instances(IPAddress.Parse("10.0.0.3"))).Id);
        Assert.True(best < 100, $"{best:0.0} ms");
    }
}
