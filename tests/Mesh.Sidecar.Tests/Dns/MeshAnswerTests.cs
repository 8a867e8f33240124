using Mesh.Sidecar.Config;
using Mesh.Sidecar.Dns;

namespace Mesh.Sidecar.Tests.Dns;

/// <summary>What is answered from the table, byte by byte.</summary>
public sealed class MeshAnswerTests
{
    [Theory]
    [InlineData("cart", "240.0.0.1")]
    [InlineData("cart.", "240.0.0.1")]
    [InlineData("CaRt", "240.0.0.1")]
    [InlineData("cart.default", "240.0.0.1")]
    [InlineData("cart.default.svc", "240.0.0.1")]
    [InlineData("cart.default.svc.cluster.local.", "240.0.0.1")]
    [InlineData("Cart.Default.SVC.Cluster.Local", "240.0.0.1")]
    [InlineData("cart.service.consul", "240.0.0.1")]
    // The bare name is the one of the table's view; the others are there by their full names.
    [InlineData("web", "10.96.0.3")]
    [InlineData("web.default", "10.96.0.2")]
    [InlineData("web.shop", "10.96.0.3")]
    [InlineData("web.service.consul", "10.96.0.3")]
    [InlineData("empty", "")]
    [InlineData("empty.shop.svc", "")]
    [InlineData("pods", "10.1.0.1 10.1.0.2")]
    [InlineData("pods.shop.svc.cluster.local", "10.1.0.1 10.1.0.2")]
    [InlineData("pods-1.pods.shop.svc.cluster.local", "10.1.0.2")]
    [InlineData("pods-0.pods", "10.1.0.1")]
    [InlineData("api.example.com", "240.0.0.9")]
    [InlineData("a.b.wild.example", "240.0.0.10")]
    // Not the mesh's: other resolvers know, also under the cluster's domain.
    [InlineData("example.com", null)]
    [InlineData("wild.example", null)]
    [InlineData("x.api.example.com", null)]
    [InlineData("cart.other", null)]
    [InlineData("cart.default.svc.cluster.local.corp.example", null)]
    [InlineData("www.example.com.default.svc.cluster.local", null)]
    [InlineData("nobody.default.svc.cluster.local", null)]
    [InlineData("default.svc.cluster.local", null)]
    [InlineData("svc.cluster.local", null)]
    [InlineData("cart.default.service.consul", null)]
    [InlineData("pods-7.pods", null)]
    [InlineData("x.cart", null)]
    [InlineData("", null)]
    public void ANameInAnyFormHasTheAddressesOfItsService(string name, string? addresses)
    {
        var answer = Given.Ask(Given.Responder(Given.With(Given.Shop, "10.1.0.1", "10.1.0.2")), Messages.Query(name));
        Assert.Equal(addresses is null, answer is null);
        if (answer is null) return;
        var read = Messages.Of(answer);
        Assert.Equal((0x1234, 0, false), (read.Id, read.Code, read.Truncated));
        Assert.Equal(addresses!.Split(' ', StringSplitOptions.RemoveEmptyEntries).Order(), read.Addresses.Order());
        // The letters as they were asked: resolvers that mix them look whether they come back.
        Assert.Equal(name.TrimEnd('.'), read.Asked);
        Assert.Equal(addresses.Length == 0 ? [Messages.Soa] : [], read.Types.Where(t => t == Messages.Soa));
    }

    [Theory]
    // ::1 is always routed where there is IPv6; the other one never is in this network.
    [InlineData("cart", Messages.Aaaa, "::1")]
    [InlineData("web.default", Messages.Aaaa, "")]
    // HTTPS and SVCB hold addresses of their own: those of somebody else would lead past the mesh.
    [InlineData("cart", 64, "")]
    [InlineData("cart", 65, "")]
    [InlineData("cart", Messages.Any, "240.0.0.1 ::1")]
    public void OtherTypesAreNotThere(string name, ushort type, string addresses)
    {
        Skip(type);
        var read = Messages.Of(Given.Ask(Given.Responder(Given.With(Given.Shop)), Messages.Query(name, type))!);
        Assert.Equal(0, read.Code); // never NXDOMAIN: the name exists
        Assert.Equal(addresses, string.Join(' ', read.Addresses));

        static void Skip(ushort type) => Xunit.Skip.If(type is Messages.Aaaa or Messages.Any && !System.Net.Sockets.Socket.OSSupportsIPv6, "no IPv6 here");
    }

    [Theory]
    [InlineData(Messages.Srv)]
    [InlineData(Messages.Ptr)]
    [InlineData(15)]
    [InlineData(16)]
    public void WhatIsNoAddressOthersMayKnow(ushort type) => Assert.Null(Given.Ask(Given.Responder(Given.With(Given.Shop)), Messages.Query("cart.service.consul", type)));

    [Theory]
    [InlineData("1.0.0.240.in-addr.arpa", "cart.default.svc.cluster.local")]
    [InlineData("1.0.0.240.IN-ADDR.arpa.", "cart.default.svc.cluster.local")]
    [InlineData("9.0.0.240.in-addr.arpa", "api.example.com")]
    [InlineData("3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.a.e.d.0.0.d.f.ip6.arpa", "web.shop.svc.cluster.local")]
    [InlineData("3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.D.A.E.D.0.0.D.F.ip6.arpa", "web.shop.svc.cluster.local")]
    // A virtual address that nobody has, or all names below one.
    [InlineData("2.0.0.240.in-addr.arpa", "")]
    [InlineData("10.0.0.240.in-addr.arpa", "")]
    // Others may know those.
    [InlineData("2.0.96.10.in-addr.arpa", null)]
    [InlineData("0.0.240.in-addr.arpa", null)]
    [InlineData("1.1.0.0.240.in-addr.arpa", null)]
    [InlineData("256.0.0.240.in-addr.arpa", null)]
    [InlineData("01.0.0.240.in-addr.arpa", null)]
    [InlineData("+1.0.0.240.in-addr.arpa", null)]
    [InlineData("x.0.0.240.in-addr.arpa", null)]
    [InlineData("in-addr.arpa", null)]
    [InlineData("33.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.a.e.d.0.0.d.f.ip6.arpa", null)]
    [InlineData("3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.a.e.d.0.0.df0.ip6.arpa", null)]
    [InlineData("g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.a.e.d.0.0.d.f.ip6.arpa", null)]
    public void AVirtualAddressHasTheNameOfItsService(string name, string? owner)
    {
        var virtuals = new[] { ("240.0.0.0", 4u), ("fd00:dead::", 32u) }.Select(r => new MeshRange(AddressPrefix.Of(System.Net.IPAddress.Parse(r.Item1), r.Item2)!.Value, RangeKind.Virtual));
        var snapshots = new Snapshots();
        snapshots.Publish(new Snapshot { Number = 1, Names = Given.Read(Given.Shop), Ranges = new MeshRanges([.. virtuals], false, []) });
        var answer = Given.Ask(Given.Responder(snapshots), Messages.Query(name, Messages.Ptr));
        Assert.Equal(owner is null, answer is null);
        if (answer is null) return;
        var read = Messages.Of(answer);
        Assert.Equal(owner!.Length > 0 ? 0 : 3, read.Code);
        Assert.Equal(owner.Length > 0 ? [Messages.Ptr] : [Messages.Soa], read.Types);
        if (owner.Length > 0) Assert.EndsWith(Convert.ToHexString(Messages.Query(owner)[12..^4]), Convert.ToHexString(answer), StringComparison.Ordinal);
    }

    [Fact]
    public void TheRouteOfAllVirtualAddressesIsLookedUpOnce()
    {
        // Virtual addresses are drawn at random: each is of another network of 64 bits.
        var proto = new Mesh.Api.V1.NameTable { ClusterDomain = "cluster.local" };
        for (var i = 0; i < 1000; i++) proto.Services.Add(Given.Service($"s{i}", "", true, $"fd6d:6573:6800:{i:x}::1"));
        var snapshots = new Snapshots();
        var range = new MeshRange(AddressPrefix.Of(System.Net.IPAddress.Parse("fd6d:6573:6800::"), 48)!.Value, RangeKind.Virtual);
        snapshots.Publish(new Snapshot { Number = 1, Names = Given.Read(proto), Ranges = new MeshRanges([range], false, []) });
        var (responder, answer) = (Given.Responder(snapshots), new byte[512]);
        var queries = Enumerable.Range(0, 1000).Select(i => Messages.Query($"s{i}", Messages.Aaaa)).ToArray();
        responder.Answer(queries[0], answer, false, Given.Client, out _);
        var before = GC.GetAllocatedBytesForCurrentThread();
        foreach (var query in queries) responder.Answer(query, answer, false, Given.Client, out _);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 50_000); // asked again after seconds, at most
    }

    [Fact]
    public void AnotherClassIsNotOurs() => Assert.Null(Given.Ask(Given.Responder(Given.With(Given.Shop)), Messages.Query("cart", kind: 3)));

    [Fact]
    public void BeforeATableNobodyIsAnsweredHere() => Assert.Null(Given.Ask(Given.Responder(Given.With(null)), Messages.Query("cart")));

    [Theory]
    [InlineData(0, 512)]
    [InlineData(400, 512)]
    [InlineData(1232, 1232)]
    [InlineData(65000, 4096)]
    public void OverUdpAnAnswerIsCutToWhatTheClientTakes(int edns, int most)
    {
        var instances = Enumerable.Range(0, 1500).Select(i => $"10.1.{i / 250}.{i % 250}").ToArray();
        var responder = Given.Responder(Given.With(Given.Shop, instances));
        var answer = Given.Ask(responder, Messages.Query("pods", udp: edns))!;
        var read = Messages.Of(answer);
        Assert.True(read.Truncated);
        Assert.InRange(answer.Length, most - 16, most);
        Assert.Equal(read.Addresses.Length, read.Addresses.Distinct().Count());
        Assert.Equal(edns > 0 ? 1232 : 0, read.Udp);

        // Over TCP all there is room for, bounded; and not always the same.
        var whole = Messages.Of(Given.Ask(responder, Messages.Query("pods"), tcp: true)!);
        Assert.Equal((false, MeshAnswers.MostInstances), (whole.Truncated, whole.Addresses.Distinct().Count()));
        Assert.NotEqual(whole.Addresses[0], Messages.Of(Given.Ask(responder, Messages.Query("pods"), tcp: true)!).Addresses[0]);
        Assert.All(whole.Addresses, a => Assert.Contains(a, instances));
    }

    [Fact]
    public void InstancesComeInTurn()
    {
        var responder = Given.Responder(Given.With(Given.Shop, "10.1.0.1", "10.1.0.2", "10.1.0.3"));
        var first = Enumerable.Range(0, 300).Select(_ => Messages.Of(Given.Ask(responder, Messages.Query("pods"))!).Addresses[0]).GroupBy(a => a).Select(g => g.Count()).ToList();
        Assert.Equal(3, first.Count);
        Assert.All(first, count => Assert.InRange(count, 60, 140));
    }

    [Fact]
    public void AnInstanceWithTwoPortsIsOneAddress() =>
        Assert.Single(Messages.Of(Given.Ask(Given.Responder(Given.With(Given.Shop, "10.1.0.1", "10.1.0.1")), Messages.Query("pods"))!).Addresses);

    [Fact]
    public void FlagsOfTheQueryAreHandledAsTheyShould()
    {
        var responder = Given.Responder(Given.With(Given.Shop));
        var read = Messages.Of(Given.Ask(responder, Messages.Query("cart", udp: 4096, dnssec: true, flags: 0x0130))!);
        Assert.Equal(0x8000 | 0x0400 | 0x0100 | 0x0080 | 0x0010, read.Flags); // QR AA RD RA CD, never AD
        Assert.Equal(16, Messages.Of(Given.Ask(responder, Messages.Query("cart", udp: 4096, version: 1))!).Code); // BADVERS
    }

    [Theory]
    [InlineData("Cart", "")]
    [InlineData("ca.rt", "")]
    [InlineData("", "")]
    [InlineData("cart", "Shop")]
    public void ATableThatIsNoneIsRefusedWhole(string name, string ns)
    {
        var errors = new Mesh.Sidecar.Config.Builders.ConfigErrors();
        var bad = new Mesh.Api.V1.NameTable { ClusterDomain = "cluster.local", Services = { new Mesh.Api.V1.NameTable.Types.Service { Name = name, Namespace = ns } } };
        Mesh.Sidecar.Config.Builders.ResourceSetBuilder.With(Mesh.Sidecar.Config.ResourceSet.Empty, Mesh.Api.Xds.TypeUrls.NameTable, "1", [Google.Protobuf.WellKnownTypes.Any.Pack(bad)], errors);
        Assert.Contains("NameTable names: services[0]", errors.ToString(), StringComparison.Ordinal);
    }
}
