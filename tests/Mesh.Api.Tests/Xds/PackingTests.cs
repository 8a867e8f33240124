using Envoy.Config.Cluster.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Http.Rbac.V3;
using Envoy.Extensions.Filters.Network.TcpProxy.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Xds;

namespace Mesh.Api.Tests.Xds;

public sealed class PackingTests
{
    public static TheoryData<IMessage, string, string> Resources => new()
    {
        { new Listener { Name = "n" }, TypeUrls.Listener, "LDS" },
        { new Envoy.Config.Route.V3.RouteConfiguration { Name = "n" }, TypeUrls.RouteConfiguration, "RDS" },
        { new Cluster { Name = "n" }, TypeUrls.Cluster, "CDS" },
        { new Envoy.Config.Endpoint.V3.ClusterLoadAssignment { ClusterName = "n" }, TypeUrls.ClusterLoadAssignment, "EDS" },
        { new Envoy.Extensions.TransportSockets.Tls.V3.Secret { Name = "n" }, TypeUrls.Secret, "SDS" },
    };

    [Theory]
    [MemberData(nameof(Resources))]
    public void Resources_know_their_type_url_and_name(IMessage resource, string typeUrl, string shortName)
    {
        var packed = XdsResource.Of(resource);

        Assert.Equal(("n", typeUrl), (packed.Name, packed.TypeUrl));
        Assert.Equal(shortName, TypeUrls.ShortName(packed.TypeUrl));
    }

    [Fact]
    public void A_message_that_is_no_resource_is_refused() => Assert.Throws<ArgumentException>(() => XdsResource.Of(new TcpProxy()));

    [Theory]
    [InlineData("type.googleapis.com/envoy.config.cluster.v3.Cluster", true)]
    [InlineData("other.example/envoy.config.cluster.v3.Cluster", true)]
    [InlineData("envoy.config.cluster.v3.Cluster", true)]
    [InlineData("type.googleapis.com/envoy.config.listener.v3.Listener", false)]
    [InlineData("", false)]
    public void Only_the_named_message_is_unpacked(string typeUrl, bool taken)
    {
        var any = new Any { TypeUrl = typeUrl, Value = new Cluster { Name = "c" }.ToByteString() };

        if (taken)
            Assert.Equal("c", Packing.Unpack<Cluster>(any).Name);
        else
            Assert.Throws<InvalidDataException>(() => Packing.Unpack<Cluster>(any));
    }

    [Fact]
    public void Malformed_bytes_are_refused_in_words()
    {
        var any = new Any { TypeUrl = TypeUrls.Cluster, Value = ByteString.CopyFrom(0x0A, 0x7F, 0x01) };

        var e = Assert.Throws<InvalidDataException>(() => Packing.Unpack<Cluster>(any));

        Assert.Contains("envoy.config.cluster.v3.Cluster", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Unknown_fields_are_kept_where_they_may_be_and_refused_where_not()
    {
        var known = new RBACPerRoute { Rbac = new RBAC { RulesStatPrefix = "p" } };
        // Field 99, varint 1, inside the inner message.
        byte[] inner = [.. known.Rbac.ToByteArray(), 0x98, 0x06, 0x01];
        var any = new Any
        {
            TypeUrl = TypeUrls.Of(RBACPerRoute.Descriptor),
            Value = ByteString.CopyFrom([0x12, (byte)inner.Length, .. inner]),
        };

        Assert.Equal("p", Packing.Unpack<RBACPerRoute>(any).Rbac.RulesStatPrefix);
        Assert.Throws<InvalidDataException>(() => Packing.UnpackStrictly<RBACPerRoute>(any));
        Assert.Equal(known, Packing.UnpackStrictly<RBACPerRoute>(Packing.Pack(known)));
    }

    [Fact]
    public void Json_spells_out_what_is_packed_and_reads_it_back()
    {
        var listener = new Listener
        {
            Name = "l",
            DefaultFilterChain = new FilterChain
            {
                Filters = { new Filter { Name = "tcp", TypedConfig = Packing.Pack(new TcpProxy { Cluster = "db" }) } },
            },
        };

        var json = XdsJson.Format(listener);

        Assert.Contains("\"cluster\": \"db\"", json, StringComparison.Ordinal);
        Assert.Contains("default_filter_chain", json, StringComparison.Ordinal);
        Assert.Equal(listener, XdsJson.Parser.Parse<Listener>(json));
    }

    [Fact]
    public void Json_of_an_unknown_type_is_a_note_and_no_failure()
    {
        var filter = new Filter { TypedConfig = new Any { TypeUrl = TypeUrls.Prefix + "x.Y" } };

        Assert.Contains("x.Y", XdsJson.Format(filter), StringComparison.Ordinal);
    }
}
