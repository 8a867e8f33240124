using System.Text;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules;

namespace Mesh.ControlPlane.Tests.Rules;

/// <summary>Documents that are right, and what they mean.</summary>
public sealed class GoodDocumentTests
{
    [Fact]
    public void Service_ports_selector_and_addresses()
    {
        var service = Assert.Single(Read("""
            apiVersion: v1
            kind: Service
            metadata:
              name: cart
              namespace: shop
              labels: {team: checkout}
            spec:
              type: ClusterIP
              clusterIP: 10.96.0.7
              clusterIPs: [10.96.0.7, "fd00::7"]
              selector: {app: cart}
              ports:
              - {name: http, port: 80, targetPort: 8080}
              - {name: rpc, port: 9090, targetPort: grpc, appProtocol: kubernetes.io/h2c}
              - {name: tcp-raw, port: 5000}
              - {name: dns, port: 53, protocol: UDP}
            """).Services);
        Assert.Equal(new ServiceName("shop", "cart"), service.Name);
        Assert.Equal(
            [
                new ServicePort(80, "http", AppProtocol.Http, "8080"), new ServicePort(9090, "rpc", AppProtocol.Http2, "grpc"),
                new ServicePort(5000, "tcp-raw", AppProtocol.Tcp),
            ],
            service.Ports.ToArray());
        Assert.Equal("cart", service.Selector!["app"]);
        Assert.Equal(["10.96.0.7", "fd00::7"], service.ClusterIPs.ToArray());
        Assert.Equal("Service shop/cart (r.yaml:1)", service.Source.ToString());
    }

    [Theory]
    [InlineData("http", "", AppProtocol.Http)]
    [InlineData("http-web", "", AppProtocol.Http)]
    [InlineData("http2-web", "", AppProtocol.Http2)]
    [InlineData("grpc", "", AppProtocol.Grpc)]
    [InlineData("https", "", AppProtocol.Tcp)]
    [InlineData("web", "", AppProtocol.Unknown)]
    [InlineData("httpish", "", AppProtocol.Unknown)]
    [InlineData("http", "tcp", AppProtocol.Tcp)]
    [InlineData("", "kubernetes.io/ws", AppProtocol.Http)]
    [InlineData("", "HTTP", AppProtocol.Http)]
    [InlineData("http", "example.com/own", AppProtocol.Tcp)]
    public void Protocol_of_a_port(string name, string appProtocol, AppProtocol expected)
    {
        var port = "port: 80" + (name.Length > 0 ? $", name: {name}" : "") + (appProtocol.Length > 0 ? $", appProtocol: {appProtocol}" : "");
        var service = Assert.Single(Read($"{{apiVersion: v1, kind: Service, metadata: {{name: a}}, spec: {{ports: [{{{port}}}]}}}}").Services);
        Assert.Equal(expected, service.Ports[0].Protocol);
    }

    [Fact]
    public void HTTPRoute_in_full()
    {
        var route = Assert.Single(Read("""
            apiVersion: gateway.networking.k8s.io/v1
            kind: HTTPRoute
            metadata:
              name: canary
              namespace: shop
              creationTimestamp: "2026-01-31T12:00:00Z"
            spec:
              parentRefs:
              - {group: "", kind: Service, name: payments, port: 80}
              rules:
              - name: beta
                matches:
                - path: {type: Exact, value: /pay}
                  method: POST
                  headers: [{name: X-Beta, value: "yes"}, {name: x-user, type: RegularExpression, value: "a.*"}]
                  queryParams: [{name: Q, value: "1"}]
                backendRefs:
                - {name: payments-v2, port: 80}
              - backendRefs:
                - {name: payments-v1, port: 80, weight: 90}
                - {name: payments-v2, namespace: other, port: 80, weight: 10}
                - {group: example.com, kind: Bucket, name: b, weight: 0}
                timeouts: {request: 1m30s, backendRequest: 500ms}
                retry: {codes: [503, 500, 503], attempts: 3, backoff: 100ms}
            """).HttpRoutes);
        Assert.Equal([new ParentRef(new ServiceName("shop", "payments"), 80)], route.Parents.ToArray());
        Assert.Equal(new DateTimeOffset(2026, 1, 31, 12, 0, 0, TimeSpan.Zero), route.Created);
        Assert.Equal(
            new HttpRouteMatch
            {
                PathKind = MatchKind.Exact,
                Path = "/pay",
                Method = "POST",
                Headers = [new ValueMatch("x-beta", MatchKind.Exact, "yes"), new ValueMatch("x-user", MatchKind.RegularExpression, "a.*")],
                QueryParams = [new ValueMatch("Q", MatchKind.Exact, "1")],
            },
            Assert.Single(route.Rules[0].Matches));
        Assert.Equal([HttpRouteMatch.Everything], route.Rules[1].Matches.ToArray());
        Assert.Equal(
            [
                new BackendRef(new ServiceName("shop", "payments-v1"), 80, 90), new BackendRef(new ServiceName("other", "payments-v2"), 80, 10),
                new BackendRef(new ServiceName("shop", "b"), null, 0, "its kind is example.com/Bucket, only Service and networking.istio.io/Hostname are supported"),
            ],
            route.Rules[1].Backends.ToArray());
        Assert.Equal(TimeSpan.FromSeconds(90), route.Rules[1].RequestTimeout);
        Assert.Equal(TimeSpan.FromMilliseconds(500), route.Rules[1].BackendRequestTimeout);
        Assert.Equal(new RetryRule([503, 500], 3, TimeSpan.FromMilliseconds(100)), route.Rules[1].Retry);
        Assert.Equal("HTTPRoute shop/canary rule 1 (r.yaml:19)", route.Rules[1].Source.ToString());
    }

    [Fact]
    public void EndpointSlice_and_Pod_become_instances()
    {
        var rules = Read("""
            apiVersion: v1
            kind: List
            items:
            - apiVersion: discovery.k8s.io/v1
              kind: EndpointSlice
              metadata: {name: db-1, labels: {kubernetes.io/service-name: db}}
              addressType: IPv4
              ports: [{name: sql, port: 5432, appProtocol: tcp}]
              endpoints:
              - {addresses: [10.0.0.1], zone: a}
              - {addresses: [10.0.0.2], conditions: {ready: false}}
              - {addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}}
            - apiVersion: v1
              kind: Pod
              metadata: {name: cart-1, labels: {app: cart, version: v2}}
              spec:
                serviceAccountName: cart
                containers:
                - {name: cart, image: cart, ports: [{name: http, containerPort: 8080}]}
              status: {phase: Running, podIP: 10.0.0.9, conditions: [{type: Ready, status: "False"}]}
            """);
        var slice = Assert.Single(rules.EndpointSlices);
        Assert.Equal(new ServiceName("default", "db"), slice.Service);
        Assert.Equal([InstanceHealth.Passing, InstanceHealth.Critical, InstanceHealth.Draining], slice.Endpoints.Select(endpoint => endpoint.Health));
        Assert.Equal(["a", "", ""], slice.Endpoints.Select(endpoint => endpoint.Zone));
        Assert.Equal([new InstancePort("sql", 5432, AppProtocol.Tcp, 5432)], slice.Endpoints[0].Ports.ToArray());
        var pod = Assert.Single(rules.Pods);
        Assert.Equal(("pod/default/cart-1", "10.0.0.9", "cart", "v2", InstanceHealth.Critical), (pod.Id, pod.Address, pod.Workload, pod.Version, pod.Health));
        Assert.Equal([new InstancePort("http", 8080, AppProtocol.Unknown, 8080)], pod.Ports.ToArray());
    }

    [Fact]
    public void JSON_with_tabs_and_a_byte_order_mark()
    {
        var text = "\uFEFF{\n\t\"apiVersion\": \"v1\", \"kind\": \"Service\",\n\t\"metadata\": {\"name\": \"a\"},\n\t\"spec\": {\"ports\": [{\"port\": 80}]}\n}";
        var parsed = RuleReader.Read([new RuleFile("r.json", Encoding.UTF8.GetBytes(text))]);
        Assert.Empty(parsed.Errors);
        Assert.Single(parsed.Rules.Services);
    }

    [Theory]
    [InlineData("")]
    [InlineData("# only a comment\n")]
    [InlineData("---\n---\n")]
    [InlineData("null\n")]
    public void Nothing_in_a_file_is_nothing_wrong(string text) => Assert.Equal(RuleSet.Empty.Services, Read(text).Services);

    [Fact]
    public void What_says_nothing_to_a_mesh_is_a_warning()
    {
        var parsed = Parse("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: 3}");
        Assert.Empty(parsed.Errors);
        Assert.Equal("r.yaml:2: kind: Deployment says nothing to the mesh and is left out", Assert.Single(parsed.Warnings).ToString());
    }

    [Fact]
    public void Hostnames_of_a_route_are_a_warning()
    {
        var parsed = Parse("""
            apiVersion: gateway.networking.k8s.io/v1
            kind: HTTPRoute
            metadata: {name: r}
            spec: {parentRefs: [{group: "", kind: Service, name: a}], hostnames: [example.com], rules: [{backendRefs: [{name: a, port: 80}]}]}
            """);
        Assert.Empty(parsed.Errors);
        Assert.StartsWith("r.yaml:4: spec.hostnames: have no effect", Assert.Single(parsed.Warnings).ToString(), StringComparison.Ordinal);
    }

    private static RuleSet Read(string text)
    {
        var parsed = Parse(text);
        Assert.Empty(parsed.Errors);
        return parsed.Rules;
    }

    private static ParsedRules Parse(string text) => RuleReader.Read([new RuleFile("r.yaml", Encoding.UTF8.GetBytes(text))]);
}
