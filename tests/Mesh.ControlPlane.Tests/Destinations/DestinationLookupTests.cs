using System.Collections.Immutable;
using System.Net;
using Mesh.ControlPlane.Destinations;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Tests.Compilation;
using static Mesh.ControlPlane.Tests.Model.Policies.PolicyWorld;

namespace Mesh.ControlPlane.Tests.Destinations;

/// <summary>What a world says of an address and port: never plaintext by not knowing.</summary>
public sealed class DestinationLookupTests
{
    private static readonly Instance Captured = Proved("cart-1", "shop/cart") with { Address = "10.1.0.1", Captured = true, Ports = [new InstancePort("http", 8080, AppProtocol.Http, 8080)] };
    private static readonly Instance Explicit = Proved("web-1", "shop/web") with { Address = "10.1.0.2", Ports = [new InstancePort("http", 8080, AppProtocol.Http, 41000)] };
    private static readonly Instance Foreign = Plain("db-1", "shop/db") with { Address = "10.1.0.3", Meshed = false, Ports = [new InstancePort("", 5432, AppProtocol.Tcp, 5432)] };
    private static readonly Instance Claiming = Proved("old-1", "shop/old", account: "evil") with { Address = "10.1.0.4", Meshed = false, Ports = [new InstancePort("", 80, AppProtocol.Http, 80)] };

    public static TheoryData<string, string, string> Questions() => new()
    {
        { "10.1.0.1:8080", "", "Meshed shop/cart cart.shop.svc.cluster.local" },
        // A captured workload is behind its sidecar with every port, also those nobody registered.
        { "10.1.0.1:9999", "", "Meshed shop/cart cart.shop.svc.cluster.local" },
        // But for those its rules leave to the sidecar: metrics and probes.
        { "10.1.0.1:15020", "", "NotMeshed" },
        { "10.1.0.1:15021", "", "NotMeshed" },
        { "10.1.0.1:15000", "", "Meshed shop/cart cart.shop.svc.cluster.local" },
        { "10.1.0.2:41000", "", "Meshed shop/web web.shop.svc.cluster.local" },
        { "10.1.0.2:8080", "", "NotMeshed" },
        { "10.1.0.3:5432", "", "NotMeshed db.shop.svc.cluster.local" },
        { "10.1.0.3:5433", "", "NotMeshed" },
        // What a registry claims can make a client expect an identity, of those that may serve, and never none.
        { "10.1.0.4:80", "", "Meshed shop/old old.shop.svc.cluster.local" },
        { "10.9.9.9:80", "", "NotMeshed" },
        { "[fd00::1]:80", "", "NotMeshed" },
        { "10.1.0.1:8080", PeerAuthentication("m", "mtls: {mode: DISABLE}"), "NotMeshed cart.shop.svc.cluster.local" },
        { "10.1.0.1:9999", PeerAuthentication("m", "selector: {matchLabels: {app: cart}}, portLevelMtls: {8080: {mode: DISABLE}}"), "Meshed shop/cart cart.shop.svc.cluster.local" },
        { "10.1.0.1:8080", PeerAuthentication("m", "selector: {matchLabels: {app: cart}}, portLevelMtls: {8080: {mode: DISABLE}}"), "NotMeshed cart.shop.svc.cluster.local" },
        { "10.1.0.2:41000", PeerAuthentication("m", "selector: {matchLabels: {app: web}}, portLevelMtls: {8080: {mode: DISABLE}}"), "NotMeshed web.shop.svc.cluster.local" },
        { "10.1.0.3:5432", ServiceIdentity("db", "service: {name: db}, identities: [shop/db], mode: required"), "Refused db.shop.svc.cluster.local" },
        // Virtual addresses: nothing but a service has one, and nothing is behind it.
        { "240.0.0.1:8080", "", "Meshed shop/cart cart.shop.svc.cluster.local" },
        { "240.0.0.9:80", "", "Refused" },
        { "240.0.0.3:5432", "", "Refused db.shop.svc.cluster.local" },
        { "10.96.0.1:80", "", "Meshed shop/cart shop/front front.shop.svc.cluster.local" },
        { "10.96.0.1:81", "", "Refused front.shop.svc.cluster.local" },
        { "10.96.0.2:80", "", "Refused mixed.shop.svc.cluster.local" },
        { "10.96.0.3:80", "", "NotMeshed plain.shop.svc.cluster.local" },
    };

    [Theory]
    [MemberData(nameof(Questions))]
    public void Answers(string destination, string policies, string expected)
    {
        var found = Ask(World(policies), destination, complete: true)!;
        Assert.Equal(expected, string.Join(' ', [$"{found.Verdict}", .. found.Identities.Select(Short), .. found.Service.Length > 0 ? [found.Service] : Array.Empty<string>()]));
        Assert.NotEmpty(found.Reason);
        Assert.Equal(found.Verdict == DestinationVerdict.Meshed, !found.Identities.IsEmpty);
    }

    [Theory]
    [MemberData(nameof(Questions))]
    public void Not_knowing_is_no_permission(string destination, string policies, string expected)
    {
        var found = Ask(World(policies), destination, complete: false);
        if (expected.StartsWith("NotMeshed", StringComparison.Ordinal)) Assert.Null(found);
        else Assert.NotNull(found);
    }

    [Fact]
    public void A_record_of_plaintext_beside_it_hides_no_workload()
    {
        var beside = Foreign with { Id = "aaa", Address = Captured.Address, Ports = [new InstancePort("", 8080, AppProtocol.Http, 8080)] };
        Assert.Equal(DestinationVerdict.Meshed, Ask(Of("", Captured, beside), "10.1.0.1:8080", complete: true)!.Verdict);
    }

    [Fact]
    public void While_an_address_changes_hands_either_may_be_there()
    {
        var next = Proved("web-2", "shop/web") with { Address = Captured.Address, Captured = true };
        Assert.Equal(["shop/cart", "shop/web"], Ask(Of("", Captured, next), "10.1.0.1:1", complete: true)!.Identities.Select(Short));
    }

    [Theory]
    // Nobody registered there, or only a registry's record of plaintext.
    [InlineData("10.9.9.9:80", "", "Meshed shop/web")]
    [InlineData("10.1.0.3:5432", "", "Meshed shop/web")]
    // Who registered is asked for, whoever else says to be there.
    [InlineData("10.1.0.1:8080", "", "Meshed shop/cart")]
    // What belongs to services is no node's.
    [InlineData("10.96.0.3:80", "", "NotMeshed")]
    [InlineData("240.0.0.9:80", "", "Refused")]
    [InlineData("10.9.9.9:80", "DISABLE", "NotMeshed")]
    public void A_connected_node_is_of_the_mesh_before_it_is_registered(string destination, string mode, string expected)
    {
        var node = new CapturedNode(IPEndPoint.Parse(destination).Address, Prefix + "shop/sa/web", "web-9", new WorkloadTraits("shop", "web", ImmutableSortedDictionary<string, string>.Empty));
        var world = World(mode.Length == 0 ? "" : PeerAuthentication("m", $"mtls: {{mode: {mode}}}"));
        var found = Ask(world, destination, complete: true, node)!;
        Assert.Equal(expected, string.Join(' ', [$"{found.Verdict}", .. found.Identities.Select(Short)]));
    }

    private static Destination? Ask(World world, string destination, bool complete, params CapturedNode[] connected)
    {
        var at = IPEndPoint.Parse(destination);
        return DestinationLookup.Answer(new DestinationIndex(world), connected, at, complete);
    }

    private static World World(string policies) => Of(policies + """
        apiVersion: v1
        kind: Service
        metadata: {name: front, namespace: shop}
        spec: {clusterIP: 10.96.0.1, selector: {app: cart}, ports: [{port: 80, targetPort: 8080}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: mixed, namespace: shop}
        spec: {clusterIP: 10.96.0.2, selector: {tier: back}, ports: [{port: 80, targetPort: p}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: plain, namespace: shop}
        spec: {clusterIP: 10.96.0.3, selector: {app: db}, ports: [{port: 80, targetPort: 5432}]}
        """,
        Captured, Explicit, Foreign, Claiming,
        (Proved("m-1", "shop/mixed") with { Address = "10.1.0.5", Ports = [new InstancePort("p", 1, AppProtocol.Tcp, 1)] }).Labelled("tier", "back"),
        (Plain("m-2", "shop/mixed") with { Address = "10.1.0.6", Ports = [new InstancePort("p", 1, AppProtocol.Tcp, 1)] }).Labelled("tier", "back"))
        with
    { Virtual = CapturedOutboundTests.Addresses(("shop/cart", ["240.0.0.1"]), ("shop/db", ["240.0.0.3"])) };

    private static string Short(string identity) => identity.Replace(Prefix, "", StringComparison.Ordinal).Replace("/sa/", "/", StringComparison.Ordinal);
}
