using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Tests.Model;

/// <summary>Routes hang on the services there are; references that lead nowhere are kept, explained and answered with 500.</summary>
public sealed class RouteAttachmentTests
{
    private static readonly Instance[] Instances =
    [
        Given.Workload("w", "web", "8080:http"), Given.Workload("m", "multi", "8080:http:a", "5000:tcp:b"), Given.Workload("s", "shop/cart", "8080:http"), Given.Workload("o", "other/cart", "8080:http"),
    ];

    [Theory]
    [InlineData("web", 8080, 8080, null)]
    [InlineData("web", 80, 8080, null)]
    [InlineData("multi", 5000, 5000, null)]
    [InlineData("multi", 80, 80, "it has no port 80: the service has 8080, 5000")]
    [InlineData("nowhere", 80, 80, "there is no such service")]
    [InlineData("other/cart", 80, 80, "a reference from namespace default to other needs a ReferenceGrant, which is not supported yet")]
    public void Backend(string service, int port, int resolved, string? invalid)
    {
        var world = Given.World(Instances, new RuleSet { HttpRoutes = [Given.Route("r", "web", Given.Rule(HttpRouteMatch.Everything, Given.Backend(service, port)))] });
        var backend = world.Services[Given.Name("web")].Routes[0].Rules[0].Backends[0];
        Assert.Equal((resolved, invalid), (backend.Port, backend.Invalid));
        Assert.Equal(invalid is null ? [] : [$"backend {Given.Name(service)} is answered with 500: {invalid}"], world.Notices.Select(notice => notice.Text));
    }

    [Fact]
    public void A_consumer_route_may_name_backends_of_its_parents_namespace()
    {
        var world = Given.World(Instances, new RuleSet { HttpRoutes = [Given.Route("r", "shop/cart", Given.Rule(HttpRouteMatch.Everything, Given.Backend("shop/cart", 8080)))] });
        Assert.Null(world.Services[Given.Name("shop/cart")].Routes[0].Rules[0].Backends[0].Invalid);
    }

    [Theory]
    [InlineData("nowhere", null, "HTTPRoute default/r has no effect on default/nowhere: there is no such service")]
    [InlineData("multi", 81, "HTTPRoute default/r has no effect on port 81 of default/multi: the service has 8080, 5000")]
    [InlineData("multi", 5000, "HTTPRoute default/r has no effect on port 5000 of default/multi: the port is declared as tcp")]
    public void Odd_parents_are_said(string parent, int? port, string notice)
    {
        var route = Given.Route("r", parent, Given.Rule(HttpRouteMatch.Everything, Given.Backend("web", 8080))) with { Parents = [new ParentRef(Given.Name(parent), port)] };
        Assert.Equal(notice, Assert.Single(Given.World(Instances, new RuleSet { HttpRoutes = [route] }).Notices).Text);
    }

    [Fact]
    public void A_backend_that_appears_changes_the_service_it_is_reached_through()
    {
        var rules = new RuleSet { HttpRoutes = [Given.Route("r", "web", Given.Rule(HttpRouteMatch.Everything, Given.Backend("late", 80)))] };
        var before = Given.World(Instances, rules);
        var after = Given.World([.. Instances, Given.Workload("l", "late", "80:http")], rules, before);
        Assert.NotSame(before.Services[Given.Name("web")], after.Services[Given.Name("web")]);
        Assert.Null(after.Services[Given.Name("web")].Routes[0].Rules[0].Backends[0].Invalid);
    }

    [Fact]
    public void Older_routes_come_first_then_by_name()
    {
        var old = Given.Route("z", "web") with { Created = new DateTimeOffset(2020, 1, 1, 0, 0, 0, TimeSpan.Zero) };
        var world = Given.World(Instances, new RuleSet { HttpRoutes = [Given.Route("b", "web"), Given.Route("a", "web"), old] });
        Assert.Equal(["z", "a", "b"], world.Services[Given.Name("web")].Routes.Select(route => route.Name.Name));
    }
}
