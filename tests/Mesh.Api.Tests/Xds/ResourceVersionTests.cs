using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Xds;

namespace Mesh.Api.Tests.Xds;

public sealed class ResourceVersionTests
{
    [Fact]
    public void Equal_resources_have_equal_versions_whatever_order_their_maps_were_filled_in()
    {
        var forward = MakeCluster(["a", "b", "c"]);
        var backward = MakeCluster(["c", "b", "a"]);
        Assert.NotEqual(forward.ToByteString(), backward.ToByteString()); // Else this test could not fail.

        Assert.Equal(XdsResource.Of(forward).Version, XdsResource.Of(backward).Version);
        Assert.Equal(XdsResource.Of(forward).Packed, XdsResource.Of(backward).Packed);
        Assert.Equal(forward, backward);
    }

    [Fact]
    public void Maps_deep_inside_count_too()
    {
        var one = new RouteConfiguration { Name = "r", VirtualHosts = { new VirtualHost { Routes = { new Route { Metadata = Nested(["x", "y"]) } } } } };
        var other = new RouteConfiguration { Name = "r", VirtualHosts = { new VirtualHost { Routes = { new Route { Metadata = Nested(["y", "x"]) } } } } };

        Assert.Equal(XdsResource.Of(one).Version, XdsResource.Of(other).Version);
    }

    [Fact]
    public void Versions_are_computed_without_touching_the_resource()
    {
        var cluster = MakeCluster(["c", "a", "b"]);
        var before = cluster.ToByteString();

        XdsResource.Of(cluster);

        Assert.Equal(before, cluster.ToByteString());
    }

    [Fact]
    public void A_changed_value_changes_the_version()
    {
        var cluster = MakeCluster(["a"]);
        var before = XdsResource.Of(cluster).Version;
        cluster.Metadata.FilterMetadata["mesh.source"].Fields["a"].StringValue = "other";

        Assert.NotEqual(before, XdsResource.Of(cluster).Version);
    }

    [Fact]
    public void A_set_is_versioned_by_names_and_versions_in_any_order()
    {
        Assert.Equal(ResourceVersion.OfSet([new("a", "1"), new("b", "2")]), ResourceVersion.OfSet([new("b", "2"), new("a", "1")]));
        Assert.NotEqual(ResourceVersion.OfSet([new("a", "1")]), ResourceVersion.OfSet([new("a", "2")]));
        Assert.NotEqual(ResourceVersion.OfSet([new("a", "bc")]), ResourceVersion.OfSet([new("ab", "c")]));
        Assert.NotEqual(ResourceVersion.OfSet([]), ResourceVersion.OfSet([new("", "")]));
    }

    private static Cluster MakeCluster(string[] keys) => new() { Name = "c", Metadata = Nested(keys) };

    private static Metadata Nested(string[] keys)
    {
        var inner = new Struct();
        foreach (var key in keys)
            inner.Fields[key] = Value.ForString("v-" + key);
        var metadata = new Metadata();
        metadata.FilterMetadata["mesh.source"] = inner;
        return metadata;
    }
}
