using System.Collections.Immutable;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Tests.Model;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>A small world that has one of everything: documents and registries, all protocols, all matches, a host name, an invalid backend.</summary>
internal static class ShopWorld
{
    public static NodeDescription Node { get; } = new()
    {
        Id = "sidecar~127.0.0.1~storefront-1~default",
        Service = "storefront",
        Workload = "storefront-1",
        Outbound = new HostPort("127.0.0.1", 15001),
        Ports =
        [
            new NodePort(3000, "http", AppProtocol.Http, new HostPort("127.0.0.1", 41000)),
            new NodePort(3001, "grpc", AppProtocol.Grpc, new HostPort("127.0.0.1", 41001)),
            new NodePort(3002, "raw", AppProtocol.Tcp, new HostPort("::1", 41002)),
            new NodePort(3003, "", AppProtocol.Unknown, new HostPort("127.0.0.1", 41003)),
        ],
        Upstreams =
        [
            new NodeUpstream("db", null, new HostPort("127.0.0.1", 9191), null),
            new NodeUpstream("payments", 80, new HostPort("127.0.0.1", 9192), null),
            new NodeUpstream("odd", null, new HostPort("127.0.0.1", 9193), null),
            new NodeUpstream("missing", 1234, new HostPort("127.0.0.1", 9194), null),
        ],
    };

    public static World World { get; } = Build();

    private static World Build()
    {
        Instance[] instances =
        [
            Given.Workload("pay-1", "payments-v1", "8080:http:http") with { Address = "10.0.0.1", Version = "v1", Zone = "a", Labels = Labels("v1") },
            Given.Workload("pay-2", "payments-v2", "8080:http:http") with { Address = "10.0.0.2", Version = "v2", Zone = "b", Weight = 3, Labels = Labels("v2") },
            Given.Workload("pay-3", "payments-v2", "8080:http:http") with { Address = "10.0.0.3", Version = "v2", Zone = "b", Labels = Labels("v2"), Health = InstanceHealth.Critical },
            Given.Workload("cart-1", "cart", "9090:grpc:grpc") with { Address = "fd00::1" },
            Given.Workload("db-1", "db", "5432:tcp") with { Address = "10.0.1.1" },
            Given.Workload("odd-1", "odd", "7000:unknown") with { Address = "10.0.1.2" },
            Given.Workload("legacy-1", "legacy", "80:http") with { Address = "legacy.example.com", Meshed = false },
        ];
        var payments = Given.Service("payments", new ServicePort(80, "http", AppProtocol.Http, "http"), new ServicePort(81, "raw", AppProtocol.Tcp, "9999")) with
        {
            Selector = Labels("").Remove("version"),
            ClusterIPs = ["10.96.0.7", "fd00::7"],
        };
        return Given.World(instances, new RuleSet { Services = [payments], HttpRoutes = [Canary(), Consumer()] });
    }

    private static ImmutableSortedDictionary<string, string> Labels(string version) =>
        ImmutableSortedDictionary<string, string>.Empty.Add("app", "payments").Add("version", version);

    private static HttpRouteMatch EveryMatcher() => new()
    {
        PathKind = MatchKind.Exact,
        Path = "/pay",
        Method = "POST",
        Headers = [new ValueMatch("x-beta", MatchKind.Exact, "yes"), new ValueMatch("x-user", MatchKind.RegularExpression, "a.*")],
        QueryParams = [new ValueMatch("Q", MatchKind.Exact, "1"), new ValueMatch("r", MatchKind.RegularExpression, "[0-9]+")],
    };

    private static HttpRoute Canary() => Given.Route(
        "canary",
        "payments",
        Given.Rule(EveryMatcher(), Given.Backend("payments-v2", 8080)) with
        {
            Name = "beta",
            RequestTimeout = TimeSpan.FromSeconds(2),
            BackendRequestTimeout = TimeSpan.FromMilliseconds(500),
        },
        Given.Rule(new HttpRouteMatch { PathKind = MatchKind.RegularExpression, Path = "/v[0-9]+/.*" }),
        Given.Rule(new HttpRouteMatch { Path = "/broken/" }, Given.Backend("payments-v1", 8080, 3), Given.Backend("nowhere", 80)),
        Given.Rule(HttpRouteMatch.Everything, Given.Backend("payments-v1", 8080, 90), Given.Backend("payments-v2", 8080, 10)) with
        {
            Retry = new RetryRule([503, 500], 3, TimeSpan.FromMilliseconds(100)),
        });

    private static HttpRoute Consumer() => Given.Route("shop/own", "payments", Given.Rule(new HttpRouteMatch { Path = "/" }, Given.Backend("payments-v1", 8080)));
}
