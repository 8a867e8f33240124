using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Xds;

namespace Mesh.ControlPlane.Tests.Xds;

/// <summary>A node gets the configuration of what its identity may serve and no other, whatever it says of itself; over a real stream.</summary>
public sealed class NodeAuthorityTests
{
    private static readonly Trust Trusted = Trust.None with { RootsPem = "-----BEGIN CERTIFICATE-----\n", Revoked = [TestCaller.Id("shop/gone")] };

    public static TheoryData<string, string, string, string, string> Attacks() => new()
    {
        // node id, service, namespace, identity, what the refusal says
        { "sidecar~10.0.0.1~web-1~shop", "db", "shop", "shop/web", "may not serve shop/db, so it gets no configuration of it" },
        { "sidecar~10.0.0.1~web-1~shop", "web", "bank", "shop/web", "namespace \"bank\" is not that of" },
        { "sidecar~10.0.0.1~web-1~bank", "web", "shop", "shop/web", "node.id \"sidecar~10.0.0.1~web-1~bank\" names namespace \"bank\"" },
        { "sidecar~10.0.0.1~db-1~shop", "web", "shop", "shop/web", "workload \"db-1\" is connected with another identity" },
        { "sidecar~10.0.0.1~db-1~shop", "", "shop", "shop/web", "workload \"db-1\" is connected with another identity" },
        { "sidecar~10.0.0.1~gone-1~shop", "gone", "shop", "shop/gone", "is revoked" },
    };

    [Theory]
    [MemberData(nameof(Attacks))]
    public async Task Who_asks_for_anothers_is_denied(string id, string service, string ns, string identity, string words)
    {
        await using var server = await AdsTestServer.StartAsync();
        server.Store.SetTrust(Trusted);
        await using var owner = new AdsClient(server.Channel, node: NodeOf("sidecar~10.0.0.2~db-1~shop", "db", "shop"), identity: "shop/db");
        await owner.AskAsync(ResourceKind.Listeners);
        await owner.ReadAsync(ResourceKind.Listeners);

        await using var thief = new AdsClient(server.Channel, node: NodeOf(id, service, ns), identity: identity);
        await thief.AskAsync(ResourceKind.Listeners);
        var end = await thief.EndAsync();
        Assert.Equal(GrpcStatusCode.PermissionDenied, end.Code);
        Assert.Contains(words, end.Message, StringComparison.Ordinal);
        Assert.Equal("db-1", Assert.Single(server.Nodes.List()).Workload);
    }

    [Theory]
    [InlineData("sidecar~10.0.0.1~db-1~bank", "sidecar~10.0.0.2~db-1~shop")]
    [InlineData("db-1", "db-1")]
    public async Task Who_is_first_with_a_name_in_another_namespace_is_in_nobodys_way(string first, string second)
    {
        await using var server = await AdsTestServer.StartAsync();
        server.Store.SetTrust(Trusted);
        await using var squatter = new AdsClient(server.Channel, node: NodeOf(first, "db", "bank"), identity: "bank/db");
        await squatter.AskAsync(ResourceKind.Listeners);
        await squatter.ReadAsync(ResourceKind.Listeners);
        await using var owner = new AdsClient(server.Channel, node: NodeOf(second, "db", "shop"), identity: "shop/db");
        await owner.AskAsync(ResourceKind.Listeners);
        await owner.ReadAsync(ResourceKind.Listeners);
    }

    [Fact]
    public async Task Roots_and_revocations_are_for_those_who_proved_who_they_are()
    {
        await using var server = await AdsTestServer.StartAsync();
        server.Store.SetTrust(Trusted);
        await using var web = new AdsClient(server.Channel, node: NodeOf("sidecar~10.0.0.1~web-1~shop", "web", "shop"), identity: "shop/web");
        await web.AskAsync(ResourceKind.Secrets, "ROOTCA");
        var secret = (await web.ReadAsync(ResourceKind.Secrets)).Resources[0].Unpack<Envoy.Extensions.TransportSockets.Tls.V3.Secret>();
        Assert.Equal(Trusted.RootsPem, secret.ValidationContext.TrustedCa.InlineString);
        await web.AskAsync(ResourceKind.Revocations, "revocations");
        var revoked = (await web.ReadAsync(ResourceKind.Revocations)).Resources[0].Unpack<Mesh.Api.V1.IdentityRevocations>();
        Assert.Equal(Trusted.Revoked.AsEnumerable(), revoked.Identities);

        // Nobody ever gets a private key, not even by asking for it.
        await using var greedy = new AdsClient(server.Channel, node: NodeOf("sidecar~10.0.0.1~web-2~shop", "web", "shop"), identity: "shop/web");
        await greedy.AskAsync(ResourceKind.Secrets, "default", "ROOTCA");
        Assert.Single((await greedy.ReadAsync(ResourceKind.Secrets)).Resources);

        await using var plain = new AdsClient(server.Channel, node: NodeOf("sidecar~10.0.0.1~web-3~shop", "web", "shop"));
        await plain.AskAsync(ResourceKind.Secrets, "ROOTCA");
        await plain.AskAsync(ResourceKind.Listeners);
        await plain.ReadAsync(ResourceKind.Listeners);
    }

    [Fact]
    public async Task A_rule_that_takes_a_service_away_ends_the_stream()
    {
        await using var server = await AdsTestServer.StartAsync();
        await using var web = new AdsClient(server.Channel, node: NodeOf("sidecar~10.0.0.1~web-1~shop", "web", "shop"), identity: "shop/web");
        await web.AskAsync(ResourceKind.Listeners);
        await web.ReadAsync(ResourceKind.Listeners);
        var rule = new ServiceIdentity
        {
            Name = new ServiceName("shop", "a"),
            Service = new ServiceName("shop", "web"),
            Identities = ["shop/other"],
            Source = new Provenance("ServiceIdentity", "shop", "a", "r.yaml:1"),
        };
        server.Store.SetRules(SourceOrder.Files, RuleSet.Empty with { ServiceIdentities = [rule] });
        Assert.Equal(new GrpcStatus(GrpcStatusCode.PermissionDenied, "spiffe://cluster.local/ns/shop/sa/web may no longer serve shop/web"), await web.EndAsync());
    }

    private static Node NodeOf(string id, string service, string ns) => new()
    {
        Id = id,
        UserAgentName = "mesh-sidecar",
        Metadata = new Struct
        {
            Fields =
            {
                ["mesh"] = Value.ForStruct(new Struct
                {
                    Fields =
                    {
                        ["service"] = Value.ForString(service),
                        ["namespace"] = Value.ForString(ns),
                        ["workload"] = Value.ForString(id.Split('~') is [_, _, var workload, _] ? workload : id),
                        ["outbound"] = Value.ForString("127.0.0.1:15001"),
                    },
                }),
            },
        },
    };
}
