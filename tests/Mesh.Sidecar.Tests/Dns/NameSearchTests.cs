using Mesh.Sidecar.Config;
using Mesh.Sidecar.Dns;

namespace Mesh.Sidecar.Tests.Dns;

/// <summary>What <c>GET /dns?name=</c> shows: the answer to a query of that name, and the names that hold it.</summary>
public sealed class NameSearchTests
{
    private readonly Snapshot snapshot = Given.With(Given.Shop, "10.0.0.1", "fd77::1").Current;

    [Theory]
    // Every form a program may ask for is answered by its own name, whatever the case, with a dot at its end or without.
    [InlineData("cart", "cart: 240.0.0.1 ::1; cart.default.svc.cluster.local: 240.0.0.1 ::1")]
    [InlineData("CART.", "cart: 240.0.0.1 ::1; cart.default.svc.cluster.local: 240.0.0.1 ::1")]
    [InlineData("cart.service.consul", "cart.service.consul: 240.0.0.1 ::1")]
    [InlineData("cart.default", "cart.default: 240.0.0.1 ::1; cart.default.svc.cluster.local: 240.0.0.1 ::1")]
    [InlineData("cart.default.svc.cluster.local", "cart.default.svc.cluster.local: 240.0.0.1 ::1")]
    [InlineData("pods", "pods: 10.0.0.1 fd77::1; pods.shop.svc.cluster.local: 10.0.0.1 fd77::1")]
    [InlineData("a.wild.example", "a.wild.example: 240.0.0.10")]
    // The bare name means the one of the own namespace, here shop's; part of a name means none by itself.
    [InlineData("web", "web: 10.96.0.3 fd00:dead::3; web.default.svc.cluster.local: 10.96.0.2; web.shop.svc.cluster.local: 10.96.0.3 fd00:dead::3")]
    [InlineData("car", "cart.default.svc.cluster.local: 240.0.0.1 ::1")]
    [InlineData("nobody", "")]
    [InlineData("nobody.pods.shop", "")]
    [InlineData("kärtchen", "")]
    public void Shows_what_is_answered(string text, string shown) =>
        Assert.Equal(shown, string.Join("; ", NameSearch.In(snapshot, text).Select(name => $"{name.Name}: {string.Join(' ', name.Addresses)}")));

    [Fact]
    public void All_of_them_and_none_before_they_are_known()
    {
        Assert.Equal(7, NameSearch.In(snapshot, "").Count());
        Assert.Empty(NameSearch.In(Snapshot.Empty, "cart"));
    }
}
