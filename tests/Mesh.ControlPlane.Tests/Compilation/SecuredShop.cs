using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Tests.Model.Policies;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>A shop with identities and with policies that use every field there is.</summary>
internal static class SecuredShop
{
    private const string Policies = """
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {name: everything, namespace: shop}
        spec:
          action: DENY
          rules:
          - from:
            - source: {notPrincipals: ["cluster.local/ns/shop/sa/web", "*/sa/web", "cluster.local/*"], ipBlocks: [10.0.0.0/8, "::1"]}
            - source: {namespaces: ["*", shop, "sh*", "*op"], notIpBlocks: [10.1.0.0/16]}
            - source: {serviceAccounts: [shop/web, web]}
            to:
            - operation: {ports: ["8080", "5432"], hosts: [cart, "*.cart", "cart:*", "*"], notHosts: ["x:80"], methods: [GET, "P*"], paths: [/a, /a*, "*/a", "*", "/{*}/a/{**}"], notPaths: [/b]}
            when:
            - {key: "request.headers[x-a]", values: ["1", "2*", "*3", "*"], notValues: ["4"]}
            - {key: destination.ip, values: [10.0.0.0/8]}
            - {key: source.ip, notValues: [10.0.0.1]}
        ---
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {name: nobody, namespace: mesh-system}
        spec: {}
        ---
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {name: trial, namespace: shop, annotations: {istio.io/dry-run: "true"}}
        spec: {action: AUDIT, rules: [{}]}
        """;

    public static World World => PolicyWorld.Of(
        Policies, PolicyWorld.Proved("cart-1", "shop/cart"), PolicyWorld.Plain("cart-2", "shop/cart"), PolicyWorld.Proved("db-1", "shop/db", "5432:tcp"), PolicyWorld.Proved("raw-1", "shop/raw", "7000"));

    /// <summary>A sidecar with a port of each kind.</summary>
    public static NodeDescription Node => Compiled.Node("cart", "shop") with
    {
        Identity = PolicyWorld.Prefix + "shop/sa/cart",
        UserAgent = "mesh-sidecar 1",
        Ports =
        [
            new NodePort(8080, "", AppProtocol.Http, new HostPort("127.0.0.1", 41000)),
            new NodePort(8081, "", AppProtocol.Unknown, new HostPort("127.0.0.1", 41001)),
            new NodePort(5432, "", AppProtocol.Tcp, new HostPort("127.0.0.1", 41002)),
        ],
    };
}
