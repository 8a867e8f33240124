using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Xds;
using Resource = Mesh.ControlPlane.Compilation.Resource;

namespace Mesh.ControlPlane.Tests.Xds;

/// <summary>Worlds whose resources of one type do not fit into one message of gRPC: endpoints and routes come in parts.</summary>
public sealed class LargeWorldTests
{
    private const int Services = 3000;
    private static readonly string[] Instances =
        [.. Enumerable.Range(0, Services * 10).Select(i => $"i{i:00000} service-{i / 10:0000} 10.{i / 62500}.{i / 250 % 250}.{(i % 250) + 1}:8080")];

    [Fact]
    public async Task A_bare_client_with_the_usual_limit_gets_the_endpoints_of_three_thousand_services()
    {
        await using var server = await AdsTestServer.StartAsync(Instances);
        await using var client = new AdsClient(server.Channel);
        await client.AskAsync(ResourceKind.Clusters);
        var clusters = await client.ReadAsync(ResourceKind.Clusters);
        await client.AckAsync(clusters);
        string[] names = [.. clusters.Resources.Select(r => r.Unpack<Envoy.Config.Cluster.V3.Cluster>()).Where(c => c.EdsClusterConfig is not null).Select(c => c.Name)];
        Assert.Equal(Services, names.Length);
        await EndpointsComeInPartsAsync(client, names);
    }

    [Fact]
    public async Task A_grpc_client_gets_everything_it_names()
    {
        await using var server = await AdsTestServer.StartAsync(Instances);
        await using var client = new AdsClient(server.Channel, node: new Node { Id = "g", UserAgentName = "gRPC C-core linux" });
        string[] names = [.. Enumerable.Range(0, Services).Select(i => $"outbound|8080||service-{i:0000}.default.svc.cluster.local")];
        await client.AskAsync(ResourceKind.Routes, names);
        var routes = new HashSet<string>(StringComparer.Ordinal);
        while (routes.Count < Services)
        {
            var response = await client.ReadAsync(ResourceKind.Routes);
            Assert.All(response.Resources, r => Assert.True(routes.Add(r.Unpack<Envoy.Config.Route.V3.RouteConfiguration>().Name)));
            await client.AckAsync(response, names);
        }

        await EndpointsComeInPartsAsync(client, names);
    }

    [Fact]
    public void The_next_part_waits_for_the_answer_and_a_change_between_parts_is_not_lost()
    {
        var state = new StreamState("s");
        state.Update(Config(("a", 'x'), ("b", 'x'), ("c", 'x')));
        state.Receive(Request(), DateTimeOffset.UnixEpoch);
        var first = state.Next(DateTimeOffset.UnixEpoch);
        Assert.Equal(["ax"], Read(first));
        Assert.Null(state.Next(DateTimeOffset.UnixEpoch));
        Assert.False(state.IsSettled);

        state.Update(Config(("a", 'y'), ("b", 'x'), ("c", 'x')));
        Assert.Null(state.Next(DateTimeOffset.UnixEpoch));
        List<string> rest = [];
        for (var response = Answer(first!); response is not null; response = Answer(response)) rest.AddRange(Read(response));
        Assert.Equal(["ay", "bx", "cx"], rest);
        Assert.True(state.IsSettled);

        DiscoveryResponse? Answer(DiscoveryResponse response)
        {
            var request = Request();
            (request.ResponseNonce, request.VersionInfo) = (response.Nonce, response.VersionInfo);
            state.Receive(request, DateTimeOffset.UnixEpoch);
            var next = state.Next(DateTimeOffset.UnixEpoch);
            Assert.Null(state.Next(DateTimeOffset.UnixEpoch));
            return next;
        }
    }

    [Fact]
    public void A_refused_part_does_not_keep_the_others_back()
    {
        var state = new StreamState("s");
        state.Update(Config(("a", 'x'), ("b", 'x')));
        state.Receive(Request(), DateTimeOffset.UnixEpoch);
        var refusal = Request();
        refusal.ResponseNonce = state.Next(DateTimeOffset.UnixEpoch)!.Nonce;
        refusal.ErrorDetail = new Google.Rpc.Status { Code = 3, Message = "no" };
        state.Receive(refusal, DateTimeOffset.UnixEpoch);
        Assert.Equal(["bx"], Read(state.Next(DateTimeOffset.UnixEpoch)));
    }

    private static async Task EndpointsComeInPartsAsync(AdsClient client, string[] names)
    {
        await client.AskAsync(ResourceKind.Endpoints, names);
        var seen = new Dictionary<string, int>(StringComparer.Ordinal);
        var parts = 0;
        while (seen.Count < names.Length)
        {
            var response = await client.ReadAsync(ResourceKind.Endpoints);
            parts++;
            foreach (var assignment in response.Resources.Select(r => r.Unpack<ClusterLoadAssignment>()))
                seen.Add(assignment.ClusterName, assignment.Endpoints.Sum(l => l.LbEndpoints.Count));
            await client.AckAsync(response, names);
        }

        Assert.True(parts > 1, "it fitted into one message, which proves nothing");
        Assert.Equal(names.Order(StringComparer.Ordinal), seen.Keys.Order(StringComparer.Ordinal));
        Assert.All(seen.Values, count => Assert.Equal(10, count));
    }

    private static DiscoveryRequest Request() => new() { TypeUrl = ResourceKind.Endpoints.TypeUrl, ResourceNames = { "a", "b", "c" } };

    private static NodeConfig Config(params (string Name, char Content)[] endpoints) => new()
    {
        Endpoints = ResourceSet.From(endpoints.Select(e => new Resource(
            e.Name, new Any { TypeUrl = ResourceKind.Endpoints.TypeUrl, Value = ByteString.CopyFromUtf8(e.Name + new string(e.Content, 1_500_000)) }, $"{e.Content}"))),
    };

    private static string[] Read(DiscoveryResponse? response) => [.. response!.Resources.Select(r => r.Value.ToStringUtf8()[..2])];
}
