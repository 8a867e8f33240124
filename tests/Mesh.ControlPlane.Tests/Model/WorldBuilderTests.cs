using System.Collections.Immutable;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Tests.Model;

/// <summary>Slices of sources become one world: who wins, which port is meant, what is odd.</summary>
public sealed class WorldBuilderTests
{
    [Theory]
    [InlineData("workloads", "consul", "workloads")]
    [InlineData("consul", "workloads", "workloads")]
    [InlineData("files", "consul", "files")]
    [InlineData("workloads", "files", "workloads")]
    [InlineData("a-source-of-later", "consul", "consul")]
    [InlineData("b", "a", "a")]
    public void First_hand_news_wins_for_one_id(string one, string other, string winner)
    {
        var slices = ImmutableSortedDictionary<string, ImmutableArray<Instance>>.Empty
            .Add(one, [Given.Workload("w", "web", "80:http") with { Version = one }])
            .Add(other, [Given.Workload("w", "web", "80:http") with { Version = other }]);
        var world = WorldBuilder.Build(World.Empty, slices, ImmutableSortedDictionary<string, RuleSet>.Empty);
        Assert.Equal(winner, Assert.Single(world.Instances).Value.Version);
        Assert.Single(world.Services[Given.Name("web")].Ports[0].Endpoints);
    }

    [Theory]
    // What instances declare -> ports of the service as number:name:protocol=endpoints, any = any port a client names means the one.
    [InlineData("8080:http", "8080::Http=1 any")]
    [InlineData("8080:http 8080:http", "8080::Http=2 any")]
    [InlineData("8081:http 8080:http", "8080::Http=2 any")]
    [InlineData("8081:http 8081:http 8080:http", "8081::Http=3 any")]
    [InlineData("8080:http 8081:unknown", "8080::Http=2 any")]
    [InlineData("8080:http 8081:tcp", "8080::Unknown=2 any")]
    [InlineData("8080:http:web 8081:http:web", "8080:web:Http=2 any")]
    [InlineData("8080:http:web 9090:grpc:rpc", "8080:web:Http=1 9090:rpc:Grpc=1")]
    [InlineData("8080:http:web,9090:grpc:rpc", "8080:web:Http=1 9090:rpc:Grpc=1")]
    [InlineData("8080:http:web,9090:grpc:rpc 8081:http:web,9091:grpc:rpc", "8080:web:Http=2 9090:rpc:Grpc=2")]
    [InlineData("8080:http,9090:grpc 8080:http", "8080::Http=2 9090::Grpc=1")]
    [InlineData("8080:http:a,8080:http:b", "8080:a:Http=1 any")]
    public void Ports_of_a_service_that_only_registries_know(string instances, string expected)
    {
        var world = Given.World(instances.Split(' ').Select((ports, index) => Given.Workload("w" + index, "web", ports.Split(',')) with { Address = "10.0.0." + index }));
        var service = world.Services[Given.Name("web")];
        Assert.Equal(expected, string.Join(' ', service.Ports.Select(port => $"{port.Port}:{port.Name}:{port.Protocol}={port.Endpoints.Length}")) + (service.AnyPort ? " any" : ""));
    }

    [Fact]
    public void An_address_that_one_is_called_by_is_not_anothers_too()
    {
        var old = Given.Workload("a-was-there", "web", "80:http") with { Address = "10.0.0.1", MoreAddresses = ["10.0.0.2", "2001:db8::1"] };
        var now = Given.Workload("b-is-there", "db", "80:http") with { Address = "10.0.0.2" };
        var world = Given.World([old, now]);
        Assert.Equal("2001:db8::1", Assert.Single(world.Instances["a-was-there"].MoreAddresses));
        Assert.Same(world.Instances["a-was-there"], Given.World([old, now], previous: world).Instances["a-was-there"]);
        Assert.Equal(2, Given.World([old], previous: world).Instances["a-was-there"].MoreAddresses.Length);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_port_that_is_down_has_no_endpoint_and_takes_no_other_with_it(bool documented)
    {
        var one = Given.Workload("a", "web", "8080:http:web", "9090:grpc:rpc");
        var half = Given.Workload("b", "web", "8080:http:web", "9090:grpc:rpc") with { Address = "10.9.9.9" };
        half = half with { Ports = [half.Ports[0], half.Ports[1] with { IsDown = true }] };
        var rules = new RuleSet { Services = documented ? [Given.Service("web", new ServicePort(8080, "web", AppProtocol.Http, "web"), new ServicePort(9090, "rpc", AppProtocol.Grpc, "rpc"))] : [] };
        var world = Given.World([one, half], rules);
        Assert.Equal("8080=2 9090=1", string.Join(' ', world.Services[Given.Name("web")].Ports.Select(port => $"{port.Port}={port.Endpoints.Length}")));
    }

    [Theory]
    // targetPort, ports of the instance (its sidecar listens 30000 above), the port connected to; 0 is none.
    [InlineData("", "80:http", 30080)]
    [InlineData("8080", "8080:http", 38080)]
    [InlineData("web", "8080:http:web", 38080)]
    [InlineData("web", "8080:http:other", 0)]
    [InlineData("8080", "9090:http", 0)]
    [InlineData("", "8080:http", 0)]
    [InlineData("9090", "8080:http:a,9090:http:b", 39090)]
    public void Target_port_of_a_documented_service(string target, string ports, int connected)
    {
        var world = Given.World(
            [Given.Workload("w", "web", ports.Split(','))], new RuleSet { Services = [Given.Service("web", new ServicePort(80, "", AppProtocol.Http, target))] });
        Assert.Equal(connected, world.Services[Given.Name("web")].Ports[0].Endpoints.SingleOrDefault()?.Port ?? 0);
        Assert.Equal(connected == 0, world.Notices.Any(notice => notice.Text.Contains("has no port", StringComparison.Ordinal)));
    }

    [Fact]
    public void Selector_looks_at_all_labels_in_its_namespace()
    {
        var labels = ImmutableSortedDictionary<string, string>.Empty.Add("app", "pay").Add("version", "v1");
        var world = Given.World(
            [
                Given.Workload("both", "a", "80:http") with { Labels = labels.Add("x", "y"), Address = "10.0.0.1" },
                Given.Workload("one", "a", "80:http") with { Labels = labels.Remove("version"), Address = "10.0.0.2" },
                Given.Workload("elsewhere", "shop/a", "80:http") with { Labels = labels, Address = "10.0.0.3" },
            ],
            new RuleSet { Services = [Given.Service("pay", new ServicePort(80, "", AppProtocol.Http)) with { Selector = labels }] });
        Assert.Equal("both", Assert.Single(world.Services[Given.Name("pay")].Ports[0].Endpoints).Instance.Id);
    }

    [Fact]
    public void Pods_are_called_on_ports_they_do_not_list()
    {
        var labels = ImmutableSortedDictionary<string, string>.Empty.Add("app", "pay");
        var pod = Given.Workload("pod/default/p", "x") with { Service = "", Meshed = false, Labels = labels, Address = "10.0.0.9" };
        var world = Given.World([], new RuleSet
        {
            Pods = [pod],
            Services = [Given.Service("pay", new ServicePort(80, "", AppProtocol.Http, "8080")) with { Selector = labels }],
        });
        Assert.Equal(("10.0.0.9", 8080), Assert.Single(world.Services[Given.Name("pay")].Ports[0].Endpoints) is var endpoint ? (endpoint.Address, endpoint.Port) : default);
    }

    [Fact]
    public void EndpointSlices_serve_a_service_without_selector_by_the_name_of_its_ports()
    {
        var endpoint = Given.Workload("e", "x") with { Service = "", Meshed = false, Address = "10.0.0.9", Ports = [new InstancePort("a", 1000, AppProtocol.Http, 1000), new InstancePort("b", 2000, AppProtocol.Http, 2000)] };
        var rules = new RuleSet
        {
            Services = [Given.Service("pay", new ServicePort(80, "a", AppProtocol.Http), new ServicePort(81, "b", AppProtocol.Http))],
            EndpointSlices = [new EndpointSliceDocument { Service = Given.Name("pay"), Endpoints = [endpoint, endpoint with { Id = "f", Address = "10.0.0.8", Health = InstanceHealth.Critical }], Source = endpoint.Source }],
        };
        var service = Given.World([], rules).Services[Given.Name("pay")];
        Assert.Equal([1000, 2000], service.Ports.Select(port => Assert.Single(port.Endpoints).Port));
    }

    [Theory]
    [InlineData(InstanceHealth.Passing, 1)]
    [InlineData(InstanceHealth.Warning, 1)]
    [InlineData(InstanceHealth.Critical, 0)]
    [InlineData(InstanceHealth.Draining, 0)]
    public void Only_healthy_instances_are_endpoints(InstanceHealth health, int endpoints) =>
        Assert.Equal(endpoints, Given.World([Given.Workload("w", "web", "80:http") with { Health = health }]).Services[Given.Name("web")].Ports[0].Endpoints.Length);

    [Fact]
    public void One_address_is_one_endpoint_and_a_notice()
    {
        var world = Given.World([Given.Workload("a", "web", "80:http") with { Address = "10.0.0.1" }, Given.Workload("b", "web", "80:http") with { Address = "10.0.0.1" }]);
        Assert.Equal("a", Assert.Single(world.Services[Given.Name("web")].Ports[0].Endpoints).Instance.Id);
        Assert.Contains(world.Notices, notice => notice.Text.StartsWith("instance b of default/web has the address of another instance", StringComparison.Ordinal));
    }

    [Fact]
    public void The_order_of_a_registry_does_not_matter()
    {
        var instances = Enumerable.Range(0, 20).Select(number => Given.Workload("w" + number, "web", "80:http") with { Address = "10.0.0." + number }).ToList();
        var one = Given.World(instances);
        instances.Reverse();
        Assert.Equal(one.Services[Given.Name("web")], Given.World(instances).Services[Given.Name("web")]);
    }

    [Fact]
    public void Unchanged_services_and_instances_keep_their_objects()
    {
        var rules = new RuleSet { Services = [Given.Service("web", new ServicePort(80, "", AppProtocol.Http))], HttpRoutes = [Given.Route("r", "web", Given.Rule(HttpRouteMatch.Everything, Given.Backend("web", 80)))] };
        var one = Given.World([Given.Workload("w", "web", "80:http"), Given.Workload("o", "other", "80:http")], rules);
        var two = Given.World([Given.Workload("w", "web", "80:http"), Given.Workload("o", "other", "81:http")], rules, one);
        Assert.Same(one.Services[Given.Name("web")], two.Services[Given.Name("web")]);
        Assert.Same(one.Instances["w"], two.Instances["w"]);
        Assert.NotSame(one.Services[Given.Name("other")], two.Services[Given.Name("other")]);
        Assert.Equal(2, two.Version);
    }

    [Fact]
    public void The_one_port_keeps_its_number_when_the_instance_it_came_from_leaves()
    {
        var low = Given.Workload("a", "web", "8080:http");
        var high = Given.Workload("b", "web", "8081:http");
        var world = Given.World([high], previous: Given.World([low, high]));
        Assert.Equal(8080, world.Services[Given.Name("web")].Ports[0].Port);
    }

    [Fact]
    public void A_service_whose_last_instance_left_stays_without_endpoints_until_somebody_serves_again()
    {
        var full = Given.World([Given.Workload("w", "web", "80:http")]);
        var empty = Given.World([], previous: full);
        Assert.Empty(empty.Services[Given.Name("web")].Ports[0].Endpoints);
        Assert.Equal([Given.Name("web")], empty.Departed.AsEnumerable());
        Assert.Same(empty.Services[Given.Name("web")], Given.World([], previous: empty).Services[Given.Name("web")]);
        var back = Given.World([Given.Workload("w", "web", "80:http")], previous: empty);
        Assert.Single(back.Services[Given.Name("web")].Ports[0].Endpoints);
        Assert.Empty(back.Departed);
    }

    [Fact]
    public void Departed_services_are_bounded_the_longest_gone_are_forgotten()
    {
        var world = World.Empty;
        for (var round = 0; round < 300; round++) world = Given.World([Given.Workload("w", $"s{round:000}", "80:http")], previous: world);
        Assert.Equal(200, world.Departed.Length);
        Assert.Equal("s099", world.Departed[0].Name);
        Assert.Equal(201, world.Services.Count);
    }

    [Fact]
    public void A_service_whose_document_was_deleted_is_gone()
    {
        var rules = new RuleSet { Services = [Given.Service("web", new ServicePort(80, "", AppProtocol.Http))] };
        Assert.Empty(Given.World([], previous: Given.World([], rules)).Services);
    }

    [Theory]
    [InlineData("Web")]
    [InlineData("web.v1")]
    [InlineData("-web")]
    public void A_name_that_is_no_DNS_label_is_no_service(string name)
    {
        var world = Given.World([Given.Workload("w", "web", "80:http") with { Service = name }]);
        Assert.Empty(world.Services);
        Assert.Contains(world.Notices, notice => notice.Text.Contains("cannot be called by name", StringComparison.Ordinal));
    }

    [Fact]
    public void Notices_are_bounded()
    {
        var world = Given.World(Enumerable.Range(0, 3000).Select(number => Given.Workload("w" + number, "web", "80:http") with { Service = "Bad" + number }));
        Assert.Equal(1001, world.Notices.Length);
        Assert.Equal("2000 more notices are not shown", world.Notices[^1].Text);
    }
}
