using Envoy.Config.Core.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.V1;
using Mesh.Api.Xds;
using Mesh.Sidecar.State;
using Cluster = Envoy.Config.Cluster.V3.Cluster;
using Listener = Envoy.Config.Listener.V3.Listener;

namespace Mesh.Sidecar.Tests.State;

/// <summary>A kept configuration as a sidecar writes it.</summary>
internal static class Given
{
    public const string Web = "spiffe://cluster.local/ns/shop/sa/web";

    public static readonly DateTimeOffset Confirmed = new(2030, 6, 1, 3, 4, 5, TimeSpan.Zero);

    public static Node Node => new()
    {
        Id = "sidecar~127.0.0.1~web-1~shop",
        Cluster = "web",
        UserAgentName = "mesh-sidecar",
        UserAgentVersion = "1",
        Metadata = new Struct
        {
            Fields = { ["mesh"] = Value.ForStruct(JsonParser.Default.Parse<Struct>(
            """
            {"service": "web", "namespace": "shop", "workload": "web-1", "outbound": "127.77.0.1:40001",
             "ports": [{"port": 8080, "listen": "127.77.0.1:40002"}, {"port": 9090, "listen": "127.77.0.1:40003"}],
             "upstreams": [{"service": "db", "listen": "127.77.0.1:40004"}]}
            """)) }
        },
    };

    private static Listener Listener => XdsJson.Parser.Parse<Listener>(
        """
        {"name": "outbound", "address": {"socketAddress": {"address": "127.77.0.1", "portValue": 40001}}, "filterChains": [{"filters": [{"name": "tcp",
        "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "statPrefix": "tcp", "cluster": "a"}}]}]}
        """);

    public static KeptConfiguration Kept() => new()
    {
        Node = Node,
        Identity = Web,
        Confirmed = Timestamp.FromDateTimeOffset(Confirmed),
        Resources =
        {
            Of(TypeUrls.Listener, "l1", Listener),
            Of(TypeUrls.Cluster, "c1", new Cluster { Name = "a", Type = Cluster.Types.DiscoveryType.Static }),
            Of(TypeUrls.IdentityRevocations, "v1", new IdentityRevocations { Identities = { "spiffe://cluster.local/ns/shop/sa/evil" } }),
        },
        Destinations =
        {
            new KeptConfiguration.Types.Destination
            {
                Query = new DestinationQuery { Address = ByteString.CopyFrom(10, 0, 0, 1), Port = 80 },
                Answer = new DestinationAnswer { Verdict = DestinationAnswer.Types.Verdict.NotMeshed },
            },
        },
    };

    public static KeptConfiguration.Types.Resources Of(string type, string version, params IMessage[] resources) =>
        new() { TypeUrl = type, VersionInfo = version, Resources_ = { resources.Select(Packing.Pack) } };

    public static byte[] Bytes(KeptConfiguration kept)
    {
        using var stream = new MemoryStream();
        StateFile.Write(stream, kept);
        return stream.ToArray();
    }
}
