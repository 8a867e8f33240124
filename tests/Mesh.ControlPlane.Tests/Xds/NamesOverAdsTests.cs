using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Net;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.V1;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Xds;

namespace Mesh.ControlPlane.Tests.Xds;

/// <summary>Names and ranges over a real stream: to whom, when, and what is known of who has them.</summary>
public sealed class NamesOverAdsTests
{
    [Fact]
    public async Task A_captured_sidecar_gets_chains_before_names()
    {
        await using var server = await StartAsync();
        await using var web = new AdsClient(server.Channel, node: Captured("web"), identity: "default/web");
        await web.AskAsync(ResourceKind.Ranges, "ranges");
        var ranges = (await web.ReadAsync(ResourceKind.Ranges)).Resources[0].Unpack<MeshRanges>();
        Assert.Equal("240.0.0.0", new IPAddress(ranges.Ranges[0].Address.Span).ToString());
        await web.AskAsync(ResourceKind.Listeners);
        var listeners = await web.ReadAsync(ResourceKind.Listeners);
        Assert.Equal(["inbound", "outbound"], listeners.Resources.Select(resource => resource.Unpack<Listener>().Name));
        await web.AckAsync(listeners);
        await web.AskAsync(ResourceKind.Names, "names");
        var names = await web.ReadAsync(ResourceKind.Names);
        Assert.Equal(["240.0.0.1"], Addresses(names));
        await web.AckAsync(names, "names");

        // A new address: the listener first, and the name only when that is taken.
        server.Store.SetVirtual(Given("240.0.0.2", "db"));
        var changed = await web.ReadAsync(ResourceKind.Listeners);
        Assert.False(server.Nodes.HaveNewestAddresses());
        await web.AckAsync(changed);
        var renamed = await web.ReadAsync(ResourceKind.Names);
        Assert.Equal(["240.0.0.2"], Addresses(renamed));
        Assert.False(server.Nodes.HaveNewestAddresses());
        await web.AckAsync(renamed, "names");
        await Mesh.Tests.Eventually.HoldsAsync(server.Nodes.HaveNewestAddresses, "the node has forgotten the old address");
    }

    [Fact]
    public async Task While_the_book_is_not_read_names_stay_as_they_are()
    {
        await using var server = await StartAsync();
        await using var web = new AdsClient(server.Channel, node: Captured("web"), identity: "default/web");
        await web.AskAsync(ResourceKind.Names, "names");
        var names = await web.ReadAsync(ResourceKind.Names);
        await web.AckAsync(names, "names");
        server.Store.SetVirtual(VirtualAddresses.Unknown);
        server.Store.SetVirtual(Given("240.0.0.1", "db", "more"));
        server.SetInstances("db-1 db 10.0.0.1:5432", "more-1 more 10.0.0.2:80");
        Assert.Equal(2, Addresses(await web.ReadAsync(ResourceKind.Names)).Length);
    }

    [Theory]
    [InlineData("mesh-sidecar", null)]
    [InlineData("envoy", "default/web")]
    public async Task Nobody_else_gets_any(string agent, string? identity)
    {
        await using var server = await AdsTestServer.StartAsync("db-1 db 10.0.0.1:5432");
        var node = Captured("web");
        node.UserAgentName = agent;
        await using var other = new AdsClient(server.Channel, node: node, identity: identity);
        await other.AskAsync(ResourceKind.Names, "names");
        await other.AskAsync(ResourceKind.Ranges, "ranges");
        await other.AskAsync(ResourceKind.Listeners);
        await other.ReadAsync(ResourceKind.Listeners);
    }

    private static async Task<AdsTestServer> StartAsync()
    {
        var server = await AdsTestServer.StartAsync("db-1 db 10.0.0.1:5432");
        server.Store.SetVirtual(Given("240.0.0.1", "db"));
        await Mesh.Tests.Eventually.HoldsAsync(() => server.Feed.Current?.Compiled.World.Virtual.ByService.Count == 1, "the address is in the configuration");
        return server;
    }

    private static VirtualAddresses Given(string first, params string[] services) => new(
        services.Select((service, index) => (Name: Model.Given.Name(service), Address: index == 0 ? first : $"240.0.1.{index}"))
            .ToFrozenDictionary(pair => pair.Name, pair => ImmutableArray.Create(pair.Address)), true);

    private static string[] Addresses(Envoy.Service.Discovery.V3.DiscoveryResponse response) =>
        [.. response.Resources[0].Unpack<NameTable>().Services.SelectMany(service => service.Addresses).Select(address => new IPAddress(address.Span).ToString())];

    private static Node Captured(string service) => new()
    {
        Id = $"sidecar~10.0.0.9~{service}-1~default",
        Cluster = service,
        UserAgentName = "mesh-sidecar",
        Metadata = new Struct
        {
            Fields =
            {
                ["mesh"] = Value.ForStruct(Google.Protobuf.JsonParser.Default.Parse<Struct>(
                    """{"capture": {"mode": "redirect", "outbound": ["127.0.0.1:15001"], "inbound": ["0.0.0.0:15006"], "dns": true}}""")),
            },
        },
    };
}
