using System.Diagnostics;
using System.Collections.Immutable;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Tests.Model;
using Mesh.Tests;
using Xunit.Abstractions;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>1,000 services of 10 endpoints: what a change costs. The bounds are wide; the figures are in the output.</summary>
public sealed class ScaleTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void One_endpoint_changes_among_ten_thousand(bool secured, bool captured)
    {
        var instances = Enumerable.Range(0, 1000).SelectMany(service => Enumerable.Range(0, 10).Select(number =>
            Given.Workload($"s{service}-{number}", $"s{service}", "8080:http:http") with
            {
                Address = $"10.{service / 250}.{service % 250}.{number + 1}",
                Identity = secured ? IdentityName.Of(Trust.DefaultDomain, "default", $"s{service}") : "",
            })).ToImmutableArray();
        var rules = new RuleSet
        {
            Services = [.. Enumerable.Range(0, 1000).Select(service => Given.Service($"s{service}", new ServicePort(80, "http", AppProtocol.Http, "http"))
                with { Selector = ImmutableSortedDictionary<string, string>.Empty.Add("app", $"s{service}") })],
            AuthorizationPolicies = secured ? [.. Enumerable.Range(0, 1000).Select(Policy)] : [],
        };
        var nodes = Enumerable.Range(0, 100).Select(number => Compiled.Node($"n{number}") with
        {
            Ports = [new NodePort(8080, "http", AppProtocol.Http, captured ? null : new HostPort("127.0.0.1", 20000 + number))],
            Capture = captured ? Capture : null,
            UserAgent = "mesh-sidecar 1",
            Labels = ImmutableSortedDictionary<string, string>.Empty.Add("app", $"s{number}"),
            Identity = secured ? IdentityName.Of(Trust.DefaultDomain, "default", $"s{number}") : null,
        }).ToArray();

        var virtualAddresses = Virtual();
        var world = Given.World(instances, rules) with { Virtual = virtualAddresses };
        var begun = Stopwatch.GetTimestamp();
        var compiled = CompiledWorld.From(world, null);
        foreach (var node in nodes) compiled.For(node);
        var cold = Stopwatch.GetElapsedTime(begun).TotalMilliseconds;
        double build = double.MaxValue, compile = double.MaxValue, emit = double.MaxValue;
        for (var round = 0; round < 8; round++)
        {
            instances = instances.SetItem(round * 100, instances[round * 100] with { Address = $"10.9.9.{round + 1}" });
            var start = ThreadTime.Now();
            var next = Given.World(instances, rules, world) with { Virtual = virtualAddresses };
            var built = ThreadTime.Now();
            var nextCompiled = CompiledWorld.From(next, compiled);
            var shared = ThreadTime.Now();
            foreach (var node in nodes) nextCompiled.For(node);
            var done = ThreadTime.Now();
            Assert.Single(next.Services, pair => !ReferenceEquals(pair.Value, world.Services[pair.Key]));
            var before = compiled.For(nodes[0]);
            var after = nextCompiled.For(nodes[0]);
            Assert.Same(before.Clusters, after.Clusters);
            Assert.Same(before.Listeners, after.Listeners);
            Assert.Same(before.Routes, after.Routes);
            Assert.Equal(1, before.Endpoints.Items.Zip(after.Endpoints.Items).Count(pair => !ReferenceEquals(pair.First, pair.Second)));
            (world, compiled) = (next, nextCompiled);
            build = Math.Min(build, (built - start).TotalMilliseconds);
            compile = Math.Min(compile, (shared - built).TotalMilliseconds);
            emit = Math.Min(emit, (done - shared).TotalMilliseconds);
        }

        var sample = compiled.For(nodes[0]);
        output.WriteLine($"listeners {sample.Listeners.Items.Sum(item => item.Body.Value.Length) / 1024} KiB, routes {sample.Routes.Items.Sum(item => item.Body.Value.Length) / 1024} KiB in {sample.Routes.Items.Length}");
        output.WriteLine($"secured {secured}, captured {captured}: first {cold:0} ms; then world {build:0.0} ms, shared pieces {compile:0.0} ms, 100 nodes {emit:0.0} ms");
        Assert.True(build + compile + emit < 500, $"world {build:0.0} ms, shared pieces {compile:0.0} ms, 100 nodes {emit:0.0} ms");
    }

    private static readonly NodeCapture Capture = new(false, [new HostPort("127.0.0.1", 15001), new HostPort("::1", 15001)], [new HostPort("0.0.0.0", 15006), new HostPort("::", 15006)], true);

    private static VirtualAddresses Virtual() => CapturedOutboundTests.Addresses(
        [.. Enumerable.Range(0, 1000).Select(service => ($"s{service}", new[] { $"240.0.{service / 250}.{service % 250}", $"fd6d:6573:6800::{service:x}" }))]);

    private static AuthorizationPolicy Policy(int number) => new()
    {
        Name = new ServiceName("default", $"p{number}"),
        Selector = ImmutableSortedDictionary<string, string>.Empty.Add("app", $"s{number}"),
        Rules = [new AuthorizationRule([new CallSource(new Values([$"cluster.local/ns/default/sa/s{(number + 1) % 1000}"], []), Values.None, Values.None, Values.None)], [], [], Source(number))],
        Source = Source(number),
    };

    private static Provenance Source(int number) => new("AuthorizationPolicy", "default", $"p{number}", $"r.yaml:{number}");
}
