using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Config.Builders;

namespace Mesh.Sidecar.Tests.Config;

/// <summary>Damaged resources: refused or taken, and never the end of the program.</summary>
public sealed class GarbageTests
{
    private static readonly string Listener = Yaml.Listener($$$"""
        traffic_direction: INBOUND, listener_filters: [{name: h, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector} }],
        filter_chains: [{name: http, filter_chain_match: {application_protocols: [http/1.1]}, filters: [{name: hcm, typed_config: { {{{Yaml.Hcm}}}, {{{Yaml.Router}}}, stream_idle_timeout: 5s,
        route_config: {virtual_hosts: [{name: v, domains: ['*', a.b, '*.c', 'd.*'], retry_policy: {retry_on: 5xx, retry_back_off: {base_interval: 1s} },
        routes: [{match: {safe_regex: {regex: "a+"}, headers: [{name: h, string_match: {prefix: x} }], query_parameters: [{name: q, present_match: true}]},
        route: {timeout: 1s, weighted_clusters: {clusters: [{name: a, weight: 90}, {name: b, weight: 10}]}, retry_policy: {per_try_timeout: 0.5s}, max_stream_duration: {max_stream_duration: 0s} } },
        {match: {path_separated_prefix: /x}, direct_response: {status: 200, body: {inline_string: hi} } }]}]} } }]}],
        default_filter_chain: {filters: [{name: t, typed_config: { {{{Yaml.Tcp}}}, cluster: c, idle_timeout: 1s} }]}
        """);

    private static readonly string Cluster = Yaml.Cluster("""
        connect_timeout: 1s, type: STATIC, metadata: {filter_metadata: {mesh.service: {host: h, name: n, namespace: s, port: 80}, mesh.source: {kind: k, rule: 1} } },
        typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, use_downstream_protocol_config: {} } },
        load_assignment: {endpoints: [{priority: 1, lb_endpoints: [{load_balancing_weight: 5, endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80} } },
        metadata: {filter_metadata: {mesh.workload: {id: i, workload: w} } } }]}]}
        """);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Damaged_bytes_never_throw(int seed)
    {
        var random = new Random(seed);
        var listener = Yaml.Set(Listener).Listeners!["l"].Raw;
        var cluster = Yaml.Set(Cluster).Clusters!["c"].Raw;
        var linker = new Linker();
        var (accepted, refused) = (0, 0);
        for (var i = 0; i < 4000; i++)
        {
            var whole = i % 2 == 0 ? listener : cluster;
            var errors = new ConfigErrors();
            var set = ResourceSetBuilder.With(ResourceSet.Empty, whole.TypeUrl, "v", [new Any { TypeUrl = whole.TypeUrl, Value = Damage(whole.Value, random) }], errors);
            if (errors.Count > 0) refused++;
            else accepted++;
            linker.Link(set);
        }

        Assert.True(accepted > 100 && refused > 100, $"{accepted} accepted, {refused} refused: the damage is not what it should be");
    }

    [Theory]
    [InlineData(long.MaxValue, 0)]
    [InlineData(1, -5)]
    [InlineData(0, int.MaxValue)]
    [InlineData(-1, 0)]
    public void A_duration_that_is_none_is_refused(long seconds, int nanos)
    {
        var cluster = new Envoy.Config.Cluster.V3.Cluster { Name = "c", ConnectTimeout = new Duration { Seconds = seconds, Nanos = nanos } };
        var errors = new ConfigErrors();
        ResourceSetBuilder.With(ResourceSet.Empty, TypeUrls.Cluster, "v", [Packing.Pack(cluster)], errors);
        Assert.Contains("is not a duration from 0 to a hundred years", errors.Texts[0], StringComparison.Ordinal);
    }

    private static ByteString Damage(ByteString good, Random random)
    {
        var bytes = good.ToByteArray();
        for (var i = random.Next(1, 4); i > 0; i--)
        {
            var at = random.Next(bytes.Length);
            switch (random.Next(4))
            {
                case 0: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 1: bytes[at] = (byte)random.Next(256); break;
                case 2: bytes = bytes[..at]; break;
                default: bytes = [.. bytes[..at], (byte)random.Next(256), .. bytes[at..]]; break;
            }

            if (bytes.Length == 0) break;
        }

        return ByteString.CopyFrom(bytes);
    }
}
