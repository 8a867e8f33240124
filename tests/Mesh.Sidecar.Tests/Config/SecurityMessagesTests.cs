using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Rbac.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Network.TcpProxy.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Config.Builders;
using Chain = Envoy.Config.Listener.V3.FilterChain;
using Hcm = Envoy.Extensions.Filters.Network.HttpConnectionManager.V3.HttpConnectionManager;
using HttpFilter = Envoy.Extensions.Filters.Network.HttpConnectionManager.V3.HttpFilter;
using HttpRbac = Envoy.Extensions.Filters.Http.Rbac.V3.RBAC;
using NetworkRbac = Envoy.Extensions.Filters.Network.Rbac.V3.RBAC;
using Proto = Envoy.Config.Listener.V3.Listener;

namespace Mesh.Sidecar.Tests.Config;

/// <summary>A field this version does not know, anywhere in a message about who may do what, refuses the whole answer; the last good set stays.</summary>
public sealed class SecurityMessagesTests
{
    /// <summary>Field 500, a varint: what a newer version might say.</summary>
    private static readonly byte[] Unknown = [0xa0, 0x1f, 0x01];

    public static TheoryData<string> Places => ["filter", "rules", "policy", "permission", "principal", "network", "none"];

    [Theory]
    [MemberData(nameof(Places))]
    public void An_unknown_field_is_refused(string place)
    {
        var good = ResourceSetBuilder.With(ResourceSet.Empty, TypeUrls.Listener, "1", [Listener("none")], new ConfigErrors());
        Assert.NotNull(good.Listeners);
        var errors = new ConfigErrors();
        var next = ResourceSetBuilder.With(good, TypeUrls.Listener, "2", [Listener(place)], errors);
        if (place == "none")
        {
            Assert.Empty(errors.Texts);
            return;
        }

        Assert.Same(good, next);
        Assert.Contains("holds a field this sidecar does not know; refused, since it decides who may do what", Assert.Single(errors.Texts), StringComparison.Ordinal);
    }

    /// <summary>Default values written out, maps in another order: bytes that say the same are the same.</summary>
    [Fact]
    public void Bytes_that_are_not_the_shortest_are_no_unknown_field()
    {
        byte[] config = [0x0a, 0x02, 0x08, 0x00];
        var errors = new ConfigErrors();
        ResourceSetBuilder.With(ResourceSet.Empty, TypeUrls.Listener, "1", [Listener("none", ByteString.CopyFrom(config))], errors);
        Assert.Empty(errors.Texts);
    }

    private static Any Listener(string place, ByteString? config = null)
    {
        var rules = With(new RBAC { Policies = { ["p"] = With(Policy(place), place == "policy") } }, place == "rules");
        var http = config ?? With(new HttpRbac { Rules = rules }, place == "filter").ToByteString();
        var network = With(new NetworkRbac { StatPrefix = "x", Rules = new RBAC { Action = RBAC.Types.Action.Deny } }, place == "network").ToByteString();
        var manager = new Hcm
        {
            StatPrefix = "x",
            RouteConfig = new Envoy.Config.Route.V3.RouteConfiguration { Name = "r" },
            HttpFilters =
            {
                new HttpFilter { Name = "rbac", TypedConfig = new Any { TypeUrl = AnyTypes.HttpRbac, Value = http } },
                new HttpFilter { Name = "router", TypedConfig = Any.Pack(new Router()) },
            },
        };
        return Any.Pack(new Proto
        {
            Name = "l",
            Address = new Address { SocketAddress = new SocketAddress { Address = "127.0.0.1", PortValue = 1 } },
            FilterChains = { new Chain { Filters = { new Filter { Name = "hcm", TypedConfig = Any.Pack(manager) } }, FilterChainMatch = new FilterChainMatch { ApplicationProtocols = { "h2c" } } } },
            DefaultFilterChain = new Chain
            {
                Filters =
                {
                    new Filter { Name = "rbac", TypedConfig = new Any { TypeUrl = AnyTypes.NetworkRbac, Value = network } },
                    new Filter { Name = "tcp", TypedConfig = Any.Pack(new TcpProxy { StatPrefix = "x", Cluster = "c" }) },
                },
            },
        });
    }

    private static Policy Policy(string place) => new()
    {
        Permissions = { With(new Permission { Any = true }, place == "permission") },
        Principals = { With(new Principal { Any = true }, place == "principal") },
    };

    /// <summary>The same message with a field from the future.</summary>
    private static T With<T>(T message, bool unknown)
        where T : IMessage<T> => unknown ? (T)message.Descriptor.Parser.ParseFrom([.. message.ToByteArray(), .. Unknown]) : message;
}
