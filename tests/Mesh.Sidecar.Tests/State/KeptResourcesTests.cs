using Envoy.Config.Core.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.V1;
using Mesh.Api.Xds;
using Mesh.Sidecar.State;
using Mesh.Sidecar.Xds;
using Cluster = Envoy.Config.Cluster.V3.Cluster;

namespace Mesh.Sidecar.Tests.State;

/// <summary>Resources there and back, and whose they are.</summary>
public sealed class KeptResourcesTests
{
    [Fact]
    public void ASetComesBackAsItWas()
    {
        var set = KeptResources.Restore(Given.Kept(), AdsClient.Wanted(captures: false, resolves: false));
        Assert.Equal(["outbound"], set.Listeners!.Keys);
        Assert.Equal(["a"], set.Clusters!.Keys);
        Assert.Equal(["l1", "c1", "v1"], new[] { TypeUrls.Listener, TypeUrls.Cluster, TypeUrls.IdentityRevocations }.Select(type => set.Versions[type]));
        var again = KeptResources.Of(new KeptOwner(Given.Node, Given.Web), set, Given.Confirmed);
        Assert.Equal(set.Raw().Count() + 1, again.Resources.Sum(resources => resources.Resources_.Count));
        var twice = KeptResources.Restore(again, AdsClient.Wanted(captures: false, resolves: false));
        Assert.Equal(set.Versions, twice.Versions);
        Assert.Equal(set.Revoked.Single().Value.Value.Identities.ToArray(), twice.Revoked.Single().Value.Value.Identities.ToArray());
    }

    [Fact]
    public void NamesAndTheMeshsAddressesComeBackToo()
    {
        var kept = Given.Kept();
        var names = new Mesh.Api.V1.NameTable { ClusterDomain = "cluster.local", Services = { new Mesh.Api.V1.NameTable.Types.Service { Name = "cart", Bare = true, Addresses = { ByteString.CopyFrom(240, 0, 0, 1) } } } };
        var ranges = new Mesh.Api.V1.MeshRanges { Ranges = { new Mesh.Api.V1.MeshRanges.Types.Range { Address = ByteString.CopyFrom(240, 0, 0, 0), Prefix = 4, Kind = Mesh.Api.V1.MeshRanges.Types.Kind.Virtual } } };
        var workloads = new Mesh.Api.V1.MeshRanges { Name = TypeUrls.WorkloadsName(7), Workloads4 = ByteString.CopyFrom(10, 0, 0, 7) };
        kept.Resources.Add(Given.Of(TypeUrls.NameTable, "n1", names));
        kept.Resources.Add(Given.Of(TypeUrls.MeshRanges, "r1", ranges, workloads));
        var set = KeptResources.Restore(kept, AdsClient.Wanted(captures: true, resolves: true));
        var again = KeptResources.Restore(KeptResources.Of(new KeptOwner(Given.Node, Given.Web), set, Given.Confirmed), AdsClient.Wanted(captures: true, resolves: true));
        Assert.Empty(again.Missing());
        var snapshot = new Mesh.Sidecar.Config.Builders.Linker().Link(again);
        Assert.True(snapshot.Names!.TryFind("cart"u8, out var found));
        Assert.Equal([240, 0, 0, 1], found.V4.ToArray());
        Assert.Equal(
            [Mesh.Sidecar.Config.RangeKind.Virtual, Mesh.Sidecar.Config.RangeKind.Pod, Mesh.Sidecar.Config.RangeKind.None],
            new[] { "240.1.2.3", "10.0.0.7", "10.0.0.8" }.Select(address => snapshot.Ranges!.KindOf(new System.Net.IPEndPoint(System.Net.IPAddress.Parse(address), 80))));
        Assert.Equal(("n1", "r1"), (again.Versions[TypeUrls.NameTable], again.Versions[TypeUrls.MeshRanges]));
    }

    [Fact]
    public void WhatACapturingSidecarWaitsForItWaitsForStill() =>
        Assert.Equal([TypeUrls.RangesName, TypeUrls.NamesName], KeptResources.Restore(Given.Kept(), AdsClient.Wanted(captures: true, resolves: true)).Missing());

    public static TheoryData<string, string> Bad() => new()
    {
        { "no listeners", "no listeners" },
        { "unknown type", "not known here" },
        { "no message", "is refused: Cluster #0" },
        { "twice", "is refused: Cluster a: is there twice" },
        { "not supported", "lb_policy" },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void ItIsReadAsStrictlyAsAControlPlanesAnswer(string what, string words)
    {
        var kept = Given.Kept();
        var clusters = kept.Resources[1];
        switch (what)
        {
            case "no listeners": kept.Resources.RemoveAt(0); break;
            case "unknown type": kept.Resources.Add(Given.Of("type.googleapis.com/no.such.Type", "1")); break;
            case "no message": clusters.Resources_[0].Value = Google.Protobuf.ByteString.CopyFrom(255, 255); break;
            case "twice": clusters.Resources_.Add(Packing.Pack(new Cluster { Name = "a" })); break;
            default: clusters.Resources_[0] = Packing.Pack(new Cluster { Name = "b", LbPolicy = Cluster.Types.LbPolicy.Maglev }); break;
        }

        var refusal = Assert.Throws<StateRefusedException>(() => KeptResources.Restore(kept, AdsClient.Wanted(false, false)));
        Assert.Equal("resources", refusal.Reason);
        Assert.Contains(words, refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", null)]
    [InlineData("program", null)]
    [InlineData("identity", "spiffe://cluster.local/ns/shop/sa/evil")]
    [InlineData("trust domain", "spiffe://other.mesh/ns/shop/sa/web")]
    [InlineData("node", "sidecar~127.0.0.1~web-2~shop")]
    [InlineData("listener", "other settings")]
    [InlineData("label", "other settings")]
    public void AnothersIsRefused(string what, string? words)
    {
        var (node, identity) = (Given.Node, what is "identity" or "trust domain" ? words! : Given.Web);
        var mesh = node.Metadata.Fields["mesh"].StructValue.Fields;
        if (what == "program") node.UserAgentVersion = "2";
        if (what == "node") node.Id = words!;
        if (what == "listener") mesh["outbound"] = Value.ForString("127.0.0.1:40009");
        if (what == "label") mesh["labels"] = Value.ForStruct(new Struct { Fields = { ["team"] = Value.ForString("a") } });
        if (words is null)
        {
            KeptResources.CheckOwner(Given.Kept(), new KeptOwner(node, identity));
            return;
        }

        var refusal = Assert.Throws<StateRefusedException>(() => KeptResources.CheckOwner(Given.Kept(), new KeptOwner(node, identity)));
        Assert.Equal("foreign", refusal.Reason);
        Assert.Contains(words, refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void NoOnesIsRefusedToo() => Assert.Equal("foreign", Assert.Throws<StateRefusedException>(() => KeptResources.CheckOwner(new KeptConfiguration(), new KeptOwner(Given.Node, Given.Web))).Reason);

    [Theory]
    [InlineData(Given.Web, true)]
    [InlineData("spiffe://cluster.local/ns/shop/sa/other", false)]
    public void ItSaysItselfWhetherItsIdentityWasRevoked(string revoked, bool expected)
    {
        var kept = Given.Kept();
        kept.Resources[2] = Given.Of(TypeUrls.IdentityRevocations, "v2", new IdentityRevocations { Identities = { revoked } });
        Assert.Equal(expected, KeptResources.IsRevoked(kept, KeptResources.Restore(kept, AdsClient.Wanted(false, false))));
    }

    [Fact]
    public void MadeUpPortsAndIdAreTakenAgain()
    {
        var flags = FlagParser.Parse(["--control-plane", "cp:15012", "--service", "web", "--namespace", "shop", "--port", "8080", "--port", "9090", "--inbound", "127.77.0.1:0", "--inbound", "127.0.0.1:7", "--outbound", "127.77.0.1:0", "--upstream", "db=127.77.0.1:0"]).Flags;
        var node = Given.Node;
        var remembered = RememberedPorts.In(flags, node);
        Assert.Equal(("web-1", 40001, "127.77.0.1:40002 127.0.0.1:7", 40004), (remembered.Workload, remembered.Outbound!.Port, string.Join(' ', remembered.Inbound), remembered.Upstreams[0].Listen.Port));
        Assert.Same(flags, RememberedPorts.In(flags with { Service = "other" }, node) is { Service: "other", Workload: "" } ? flags : null);
        Assert.Equal("web-9", RememberedPorts.In(flags with { Workload = "web-9" }, node).Workload);
        Assert.Equal("", RememberedPorts.In(flags, new Node()).Workload);

        // Taken by somebody else meanwhile: any free one, and the configuration will be another's.
        using var taken = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Parse("127.77.0.1"), 0);
        taken.Start();
        node.Metadata.Fields["mesh"].StructValue.Fields["outbound"] = Value.ForString(taken.LocalEndpoint.ToString());
        Assert.Equal(0, RememberedPorts.In(flags, node).Outbound!.Port);
    }
}
