using System.Collections.Immutable;
using System.Diagnostics;
using System.Net;
using Mesh.Api.V1;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Tests.Model;
using Xunit.Abstractions;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>The table of all names, and the ranges of the mesh.</summary>
public sealed class NameTableTests(ITestOutputHelper output)
{
    private static readonly World World = Given.World(
        [Given.Workload("db-1", "shop/db", "5432:tcp"), Given.Workload("web-1", "web", "8080:http"), Given.Workload("cart-1", "cart", "8080:http")],
        new RuleSet
        {
            Services =
            [
                Given.Service("shop/cart", new ServicePort(80, "http", AppProtocol.Http)) with { ClusterIPs = ["10.96.0.7", "fd00::7"] },
                Given.Service("shop/pods", new ServicePort(9000, "raw", AppProtocol.Tcp)) with { Headless = true },
            ],
        }) with
    { Virtual = CapturedOutboundTests.Addresses(("shop/db", ["240.0.0.1", "fd6d::1"]), ("shop/pods", ["240.0.0.9"])) };

    [Theory]
    // A bare name means the service of the client's namespace, else that of the default one.
    [InlineData("shop", ". web, shop. cart, shop. db, shop. pods", ". cart")]
    [InlineData("default", ". cart, . web", "shop. cart, shop. db, shop. pods")]
    [InlineData("other", ". cart, . web", "shop. cart, shop. db, shop. pods")]
    public void Bare_names_are_the_views_own(string ns, string bare, string full)
    {
        var table = Table(World, ns);
        Assert.Equal("cluster.local", table.ClusterDomain);
        Assert.Equal(bare, string.Join(", ", table.Services.Where(service => service.Bare).Select(service => $"{service.Namespace}. {service.Name}")));
        Assert.Equal(full, string.Join(", ", table.Services.Where(service => !service.Bare).Select(service => $"{service.Namespace}. {service.Name}")));
    }

    [Theory]
    [InlineData("cart", "10.96.0.7 fd00::7", "")]
    [InlineData("db", "240.0.0.1 fd6d::1", "")]
    // Headless: never an address of its own, whatever was given out before it became so.
    [InlineData("pods", "", "outbound|9000||pods.shop.svc.cluster.local")]
    public void Names_have_the_addresses_that_listeners_know(string name, string addresses, string instances)
    {
        var entry = Table(World, "shop").Services.Single(service => service.Namespace == "shop" && service.Name == name);
        Assert.Equal(addresses, string.Join(' ', entry.Addresses.Select(address => new IPAddress(address.Span))));
        Assert.Equal(instances, entry.InstancesOf);
        Assert.True(instances.Length == 0 || World.For(Sidecar("shop")).Endpoints.Names().Contains(instances));
    }

    [Fact]
    public void Only_our_own_sidecars_that_proved_who_they_are_get_it()
    {
        Assert.NotEmpty(World.For(Sidecar("shop")).Names.Items);
        foreach (var other in new[] { Sidecar("shop") with { Identity = null }, Sidecar("shop") with { UserAgent = "envoy 1.40" }, Compiled.GrpcNode() with { Identity = "spiffe://cluster.local/ns/shop/sa/a" } })
        {
            var config = World.For(other);
            Assert.Empty(config.Names.Items);
            Assert.Empty(config.Ranges.Items);
        }
    }

    [Fact]
    public void While_nobody_knows_what_was_given_out_clients_keep_what_they_have() =>
        Assert.Empty((World with { Virtual = VirtualAddresses.Unknown }).For(Sidecar("shop")).Names.Items);

    [Theory]
    [InlineData("Cart", "shop")]
    [InlineData("a.b", "shop")]
    [InlineData("cart", "Shop!")]
    [InlineData("cart", "a.b")]
    [InlineData("b\u00fccher", "shop")]
    [InlineData("\0", "shop")]
    [InlineData("0123456789012345678901234567890123456789012345678901234567890123", "shop")]
    public void A_name_that_clients_would_refuse_is_left_out_alone(string service, string ns)
    {
        var world = Given.World([Given.Workload("odd-1", "web", "80:http") with { Service = service, Namespace = ns }, Given.Workload("web-1", "web", "8080:http")]);
        var table = Table(world, "shop");
        Assert.Equal(["web"], table.Services.Select(entry => entry.Name));
        Assert.Contains(world.Notices, notice => notice.Text.Contains("odd-1 cannot be called by name", StringComparison.Ordinal));
    }

    [Fact]
    public void Who_declares_gets_the_names_of_that()
    {
        var node = Sidecar("shop") with { DiscoverAll = false, Upstreams = [new NodeUpstream("db", null, new HostPort("127.0.0.1", 9000), null)] };
        Assert.Equal("db", Assert.Single(World.For(node).Names.Get<NameTable>("names").Services).Name);
    }

    [Fact]
    public void Ranges_say_what_the_operator_said()
    {
        var network = NetworkTerms.Default with { PodRanges = [IPNetwork.Parse("10.0.0.0/8")], ServiceRanges = [IPNetwork.Parse("fd00::/64"), IPNetwork.Parse("10.96.0.0/12")], RegistryOnly = true, ControlPlanePorts = [15012] };
        var ranges = (World with { Network = network }).For(Sidecar("shop")).Ranges.Get<MeshRanges>("ranges");
        Assert.Equal(
            ["Virtual 240.0.0.0/4", "Virtual fd6d:6573:6800::/48", "Service 10.96.0.0/12", "Service fd00::/64", "Pod 10.0.0.0/8"],
            ranges.Ranges.Select(range => $"{range.Kind} {new IPAddress(range.Address.Span)}/{range.Prefix}"));
        Assert.Equal((MeshRanges.Types.OutboundPolicy.RegistryOnly, 15012u), (ranges.OutboundPolicy, ranges.ControlPlanePorts.Single()));
        Assert.Equal(MeshRanges.Types.OutboundPolicy.AllowAny, World.For(Sidecar("shop")).Ranges.Get<MeshRanges>("ranges").OutboundPolicy);
    }

    [Fact]
    public void Five_thousand_services_stay_small_and_cost_nothing_while_only_endpoints_change()
    {
        var instances = Enumerable.Range(0, 5000).Select(number => Given.Workload($"w{number}", $"team-{number % 50}/service-of-some-length-{number}", "8080:http")).ToImmutableArray();
        var addresses = CapturedOutboundTests.Addresses([.. Enumerable.Range(0, 5000).Select(number => ($"team-{number % 50}/service-of-some-length-{number}", new[] { $"240.0.{number / 250}.{number % 250}", $"fd6d:6573:6800::{number:x}" }))]);
        var world = Given.World(instances) with { Virtual = addresses };
        var compiled = CompiledWorld.From(world, null);
        var set = compiled.Names("team-1");
        var size = set.Items[0].Body.Value.Length;
        var next = CompiledWorld.From(Given.World(instances.SetItem(7, instances[7] with { Address = "10.9.9.9" }), null, world) with { Virtual = addresses }, compiled);
        var start = Stopwatch.GetTimestamp();
        Assert.Same(set, next.Names("team-1"));
        output.WriteLine($"{size / 1024} KiB; unchanged: {Stopwatch.GetElapsedTime(start).TotalMilliseconds:0.00} ms");
        Assert.True(size < 500 * 1024, $"{size} bytes");
    }

    private static NodeDescription Sidecar(string ns) => Compiled.Node("client", ns) with { UserAgent = "mesh-sidecar 1", Identity = $"spiffe://cluster.local/ns/{ns}/sa/client" };

    private static NameTable Table(World world, string ns) => world.For(Sidecar(ns)).Names.Get<NameTable>("names");
}
