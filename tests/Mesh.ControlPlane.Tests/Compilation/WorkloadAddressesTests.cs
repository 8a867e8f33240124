using System.Net;
using Envoy.Config.Endpoint.V3;
using Mesh.Api.V1;
using Mesh.Api.Xds;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Endpoint = Envoy.Config.Endpoint.V3.Endpoint;
using Mesh.ControlPlane.Tests.Model;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>What sidecars are told of where workloads are: all of them, and cheaply when one comes.</summary>
public sealed class WorkloadAddressesTests
{
    [Fact]
    public void All_addresses_of_all_workloads_and_nobody_elses()
    {
        var web = Given.Workload("web-1", "web", "80:http") with { Address = "10.0.0.7", MoreAddresses = ["2001:db8::7", "10.1.0.7"] };
        var world = CompiledWorld.From(Given.World(
        [
            web,
            Given.Workload("web-2", "web", "80:http") with { Address = "10.0.0.71" },
            Given.Workload("client-1", "") with { Address = "10.0.0.9" },
            Given.Workload("local-1", "local", "80:http") with { Address = "127.0.0.1" },
            Given.Workload("foreign-1", "foreign", "80:http") with { Address = "192.0.2.1", Meshed = false },
            Given.Workload("named-1", "named", "80:http") with { Address = "db.example" },
        ]), null);
        Assert.Equal("10.0.0.7 10.0.0.71 10.0.0.9 10.1.0.7 2001:db8::7", string.Join(' ', Addresses(world.Ranges).Order(StringComparer.Ordinal)));
        // The one more is found by its last byte.
        Assert.Equal(3, Part(world.Ranges, 7).Workloads4.Length / 4);
        Assert.Equal(IPAddress.Parse("10.0.0.7").GetAddressBytes(), Part(world.Ranges, 7).Workloads4.Span[..4].ToArray());
    }

    [Fact]
    public void A_workload_that_comes_costs_its_part()
    {
        var many = Enumerable.Range(0, 1000).Select(i => Given.Workload($"w-{i}", "web", "80:http") with { Address = $"10.0.{i / 250}.{1 + (i % 250)}" }).ToList();
        var before = CompiledWorld.From(Given.World(many), null);
        var after = CompiledWorld.From(Given.World([.. many, Given.Workload("one-more", "web", "80:http") with { Address = "10.9.9.9" }], previous: before.World), before);
        var changed = after.Ranges.Items.Where(item => before.Ranges.TryGet(item.Name, out var old) && old.Version != item.Version).ToList();
        Assert.Equal(TypeUrls.WorkloadsName(9), Assert.Single(changed).Name);
        Assert.True(changed[0].Body.Value.Length < 200, $"{changed[0].Body.Value.Length} bytes");
        Assert.Equal(TypeUrls.WorkloadsParts + 1, after.Ranges.Items.Length);
    }

    [Fact]
    public void An_endpoint_has_the_other_addresses_of_its_instance()
    {
        var web = Given.Workload("web-1", "web", "80:http") with { Address = "10.0.0.7", MoreAddresses = ["2001:db8::7"] };
        var world = Given.World([web]);
        var endpoint = EndpointCompiler.Compile("c", world.Services[Given.Name("web")].Ports[0].Endpoints).Endpoints.Single().LbEndpoints.Single().Endpoint;
        Assert.Equal("10.0.0.7", endpoint.Address.SocketAddress.Address);
        var more = Assert.Single<Endpoint.Types.AdditionalAddress>(endpoint.AdditionalAddresses).Address.SocketAddress;
        Assert.Equal(("2001:db8::7", endpoint.Address.SocketAddress.PortValue), (more.Address, more.PortValue));
    }

    [Theory]
    // Instances of a headless service have names below its own: what the document says, else a workload's id where it can be a name.
    [InlineData(true, "db-0", "", "db-0")]
    [InlineData(true, "DB.0", "", "")]
    [InlineData(true, "db_0", "", "")]
    [InlineData(true, "pod/shop/db-0", "db-0", "db-0")]
    [InlineData(true, "db-0", "first", "first")]
    [InlineData(false, "db-0", "first", "")]
    public void Instances_of_headless_services_have_names(bool headless, string id, string said, string hostname)
    {
        var rules = new RuleSet { Services = [Given.Service("db", new ServicePort(5432, "", AppProtocol.Tcp, "")) with { Headless = headless }] };
        var before = CompiledWorld.From(Given.World([Given.Workload(id, "db", "5432:tcp") with { Hostname = said }], rules with { Services = [rules.Services[0] with { Headless = !headless }] }), null);
        var world = CompiledWorld.From(Given.World([Given.Workload(id, "db", "5432:tcp") with { Hostname = said }], rules, before.World), before);
        Assert.True(world.Endpoints.TryGet("outbound|5432||db.default.svc.cluster.local", out var endpoints));
        Assert.Equal(hostname, endpoints.Body.Unpack<ClusterLoadAssignment>().Endpoints.Single().LbEndpoints.Single().Endpoint.Hostname);
    }

    [Fact]
    public void Hostnames_come_from_pods_and_slices()
    {
        const string Yaml = """
            apiVersion: v1
            kind: Pod
            metadata: {name: db-0, namespace: shop, labels: {app: db}}
            spec: {hostname: db-0, subdomain: db, containers: [{name: c, image: i, ports: [{containerPort: 5432}]}]}
            status: {podIP: 10.0.0.1, phase: Running}
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: other-1, namespace: shop, labels: {kubernetes.io/service-name: other}}
            addressType: IPv4
            ports: [{port: 80}]
            endpoints: [{addresses: [10.0.0.2], hostname: other-7}]
            """;
        var parsed = Mesh.ControlPlane.Rules.RuleReader.Read([new Mesh.ControlPlane.Rules.RuleFile("a.yaml", System.Text.Encoding.UTF8.GetBytes(Yaml))]);
        Assert.Empty(parsed.Errors);
        Assert.Equal(("db-0", "other-7"), (parsed.Rules.Pods.Single().Hostname, parsed.Rules.EndpointSlices.Single().Endpoints.Single().Hostname));
    }

    private static MeshRanges Part(ResourceSet set, int number) =>
        set.TryGet(TypeUrls.WorkloadsName(number), out var part) ? part.Body.Unpack<MeshRanges>() : throw new InvalidOperationException($"no part {number}");

    private static IEnumerable<string> Addresses(ResourceSet set) => Enumerable.Range(0, TypeUrls.WorkloadsParts).Select(i => Part(set, i))
        .SelectMany(part => part.Workloads4.Chunk(4).Concat(part.Workloads6.Chunk(16))).Select(bytes => new IPAddress(bytes).ToString());
}
