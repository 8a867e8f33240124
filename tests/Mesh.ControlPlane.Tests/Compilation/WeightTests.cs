using Envoy.Config.Endpoint.V3;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Tests.Model;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>Weights of endpoints and zones, whose sums clients hold in 32 bits.</summary>
public sealed class WeightTests
{
    [Fact]
    public void Weights_that_are_too_many_are_scaled_and_keep_their_proportions()
    {
        var heavy = Enumerable.Range(0, 60_000).Select(i => Endpoint(i, "a", 100_000));
        var light = Enumerable.Range(60_000, 40_000).Select(i => Endpoint(i, "b", i % 2 == 0 ? 50_000 : 1));
        var assignment = EndpointCompiler.Compile("c", [.. heavy, .. light]);

        Assert.True(assignment.Endpoints.Sum(zone => (long)zone.LoadBalancingWeight!.Value) <= uint.MaxValue);
        Assert.All(assignment.Endpoints, zone => Assert.Equal(zone.LbEndpoints.Sum(e => (long)e.LoadBalancingWeight!.Value), zone.LoadBalancingWeight!.Value));
        var (first, second, least) = (WeightOf(assignment, 0, 0), WeightOf(assignment, 1, 0), WeightOf(assignment, 1, 1));
        Assert.Equal(2.0, (double)first / second, 0.001);
        Assert.Equal(1u, least);
    }

    [Fact]
    public void Weights_that_fit_stay_as_they_are()
    {
        var assignment = EndpointCompiler.Compile("c", [Endpoint(0, "a", 100_000), Endpoint(1, "a", 7)]);
        Assert.Equal((100_000u, 7u, 100_007u), (WeightOf(assignment, 0, 0), WeightOf(assignment, 0, 1), assignment.Endpoints[0].LoadBalancingWeight!.Value));
    }

    private static uint WeightOf(ClusterLoadAssignment assignment, int zone, int endpoint) => assignment.Endpoints[zone].LbEndpoints[endpoint].LoadBalancingWeight!.Value;

    private static Mesh.ControlPlane.Model.Endpoint Endpoint(int number, string zone, int weight)
    {
        var instance = Given.Workload($"w{number}", "web", "8080:http:http") with { Zone = zone, Weight = weight };
        return new Mesh.ControlPlane.Model.Endpoint($"10.{number / 65536}.{number / 256 % 256}.{number % 256}", 8080, instance);
    }
}
