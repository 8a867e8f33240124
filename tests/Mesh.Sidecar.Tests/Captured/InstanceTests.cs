using System.Globalization;
using System.Net;
using System.Text;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Config.Builders;
using Mesh.Sidecar.Tests.Config;
using Mesh.Tests;
using Xunit.Abstractions;
using static Mesh.Sidecar.Tests.Captured.CapturedYaml;

namespace Mesh.Sidecar.Tests.Captured;

/// <summary>Captured connections to an instance's own address.</summary>
public sealed class InstanceTests(ITestOutputHelper output)
{
    private const string Answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    private const string Sds = "tls_certificate_sds_secret_configs: [{name: default, sds_config: {ads: {}, resource_api_version: V3}}]";

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)] // no service with an address has a port to detect, so the listener does not ask for it
    public async Task AConnectionToAnInstanceStaysWithIt(bool inspects)
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        var file = CapturedYaml.File(
            Outbound("outbound", "127.0.0.1", HttpChain("127.0.0.1", 15001, VirtualHost("web", "web", "web"))) + ", " + Outbound("outbound6", "::1", HttpChain("::1", 15001, VirtualHost("web", "web", "web"))),
            string.Join(", ", Passthrough, Eds("web", "http"), Eds("db", "tcp"), Eds("odd", "")),
            string.Join(", ", Assignment("web", Endpoint("10.77.0.1", 8080), Endpoint("10.77.0.1", 8081), Endpoint("fd77::1", 8081)), Assignment("db", Endpoint("10.77.0.1", 5432)), Assignment("odd", Endpoint("10.77.0.1", 7000), Endpoint("10.77.0.1", 7001))));
        if (!inspects) file = file.Replace($", {HttpInspector}", "", StringComparison.Ordinal).Replace("listener_filters_timeout: 5s, continue_on_listener_filters_timeout: true,", "", StringComparison.Ordinal);
        await using var host = await CapturedHost.StartAsync(file);
        using var first = new Peer(host.World, "10.77.0.1", 8080, speaksFirst: false) { Answer = Answer };
        using var second = new Peer(host.World, "10.77.0.1", 8081, speaksFirst: false) { Answer = Answer };
        using var second6 = new Peer(host.World, "fd77::1", 8081, speaksFirst: false) { Answer = Answer };
        using var db = host.Serve("10.77.0.1", 5432);
        using var odd = host.Serve("10.77.0.1", 7000, speaksFirst: false);
        using var oddFirst = host.Serve("10.77.0.1", 7001);

        foreach (var address in new[] { "10.77.0.1", "fd77::1" })
        {
            var socket = await host.DialAsync(address, 8081);
            for (var i = 0; i < 5; i++) Assert.EndsWith("hello", await CapturedHost.TalkAsync(socket, "GET / HTTP/1.1\r\nHost: web-1.web\r\n\r\n", "hello"), StringComparison.Ordinal);
        }

        Assert.Empty(first.Seen);
        Assert.Equal(5, Assert.Single(second.Seen).Sent.ToString().Split("x-request-id").Length - 1);
        Assert.Single(second6.Seen);
        Assert.Contains("5432", await CapturedHost.TalkAsync(await host.DialAsync("10.77.0.1", 5432), "", "\n"), StringComparison.Ordinal);
        Assert.Contains("7001", await CapturedHost.TalkAsync(await host.DialAsync("10.77.0.1", 7001), "", "\n"), StringComparison.Ordinal);
        Assert.Equal("PING", await CapturedHost.TalkAsync(await host.DialAsync("10.77.0.1", 7000), "PING", "PING"));
        Assert.Contains("x-request-id", await CapturedHost.TalkAsync(await host.DialAsync("10.77.0.1", 7000), "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\n"), StringComparison.OrdinalIgnoreCase);
        // It is gone: the same instance is tried again, and no other.
        second.Dispose();
        var failed = await host.AskAsync("10.77.0.1", 8081, "web");
        Assert.StartsWith("HTTP/1.1 503", failed, StringComparison.Ordinal);
        Assert.Contains("endpoint: 10.77.0.1:8081", failed, StringComparison.Ordinal);
        Assert.Empty(first.Seen);
    }

    [Theory]
    [InlineData("spiffe://cluster.local/ns/default/sa/b", "spiffe://cluster.local/ns/default/sa/b")]
    [InlineData("spiffe://cluster.local/ns/default/sa/c", "spiffe://cluster.local/ns/default/sa/a spiffe://cluster.local/ns/default/sa/b")] // not one that may serve
    [InlineData("", "spiffe://cluster.local/ns/default/sa/a spiffe://cluster.local/ns/default/sa/b")]
    public void ExactlyItsIdentityIsExpected(string identity, string expected)
    {
        var cluster = Secured("web", "spiffe://cluster.local/ns/default/sa/a", "spiffe://cluster.local/ns/default/sa/b");
        var snapshot = Link(new Linker(), cluster, Assignment("web", Endpoint("10.0.0.1", 80, $"metadata: {{filter_metadata: {{mesh.workload: {{id: web-1, identity: \"{identity}\"}}}}}}")));
        var balanced = snapshot.Clusters.Single(c => c.Name == "web");
        var pinned = snapshot.Instances.Find(new IPEndPoint(IPAddress.Parse("10.0.0.1"), 80))!.Chains.Chains[0].Http!.Routes.Hosts[0].Routes[0].Clusters[0].Cluster!;
        Assert.Equal(expected.Split(' '), pinned.Endpoints.Single().Tls!.Expected.Exact.ToArray());
        // Connections are shared exactly where they are made on the same terms.
        Assert.Equal(expected.Contains(' ', StringComparison.Ordinal), ReferenceEquals(pinned.State, balanced.State));
        Assert.Equal(expected.Contains(' ', StringComparison.Ordinal), ReferenceEquals(pinned.Endpoints[0].Stats, balanced.Endpoints[0].Stats));
    }

    [Fact]
    public void ItsOtherAddressesAreItToo()
    {
        const string Metadata = "metadata: {filter_metadata: {mesh.workload: {id: web-1, identity: 'spiffe://cluster.local/ns/default/sa/b'}}}";
        var linker = new Linker();
        var cluster = Secured("web", "spiffe://cluster.local/ns/default/sa/a", "spiffe://cluster.local/ns/default/sa/b");
        string With(string more) => Assignment("web", Endpoint("10.0.0.1", 80, Metadata).Replace("port_value: 80}}", "port_value: 80}}" + more, StringComparison.Ordinal));
        const string More = ", additional_addresses: [{address: {socket_address: {address: '2001:db8::1', port_value: 80}}}]";
        var snapshot = Link(linker, cluster, With(More));
        // It gets its share of the service's traffic once.
        Assert.Equal("10.0.0.1:80", Assert.Single(snapshot.Clusters.Single(c => c.Name == "web").Endpoints).Authority);
        var other = Pinned(snapshot)!.Endpoints.Single();
        Assert.Equal(("[2001:db8::1]:80", "spiffe://cluster.local/ns/default/sa/b"), (other.Authority, Assert.Single(other.Tls!.Expected.Exact)));
        Assert.Equal(IPAddress.Parse("2001:db8::1").GetAddressBytes(), snapshot.Clusters.Single(c => c.Name == "web").Addresses.V6);
        Assert.True(new Mesh.Sidecar.Listening.MeshPeers(new Mesh.Sidecar.Listening.RegisteredAddresses()).MayBe(IPAddress.Parse("2001:db8::1"), snapshot));
        // Without the address it is not there.
        Assert.Null(Link(linker, cluster, With("")).Instances.Find(At));
        Cluster? Pinned(Snapshot of) => of.Instances.Find(At)?.Chains.Chains[0].Http!.Routes.Hosts[0].Routes[0].Clusters[0].Cluster;
    }

    private static readonly IPEndPoint At = new(IPAddress.Parse("2001:db8::1"), 80);

    [Fact]
    public void TheOnlyIdentityOfAServiceIsSharedWithIt()
    {
        var snapshot = Link(new Linker(), Secured("web", "spiffe://cluster.local/ns/default/sa/a"), Assignment("web", Endpoint("10.0.0.1", 80, "metadata: {filter_metadata: {mesh.workload: {identity: 'spiffe://cluster.local/ns/default/sa/a'}}}")));
        Assert.Same(snapshot.Clusters.Single(c => c.Name == "web").Endpoints[0], snapshot.Instances.Find(new IPEndPoint(IPAddress.Parse("10.0.0.1"), 80))!.Chains.Chains[0].Http!.Routes.Hosts[0].Routes[0].Clusters[0].Cluster!.Endpoints[0]);
    }

    [Fact]
    public void ComesAndGoesWithItsService()
    {
        var linker = new Linker();
        var at = new IPEndPoint(IPAddress.Parse("10.0.0.1"), 80);
        string Both(string first, string second) => Assignment("a", first) + ", " + Assignment("b", second);
        var clusters = Eds("b", "http") + ", " + Eds("a", "http");
        var one = Link(linker, clusters, Both(Endpoint("10.0.0.1", 80), Endpoint("10.0.0.1", 80)));
        Assert.Equal("a", one.Instances.Find(at)!.Service.Name); // always the same of several
        var two = Link(linker, clusters, Both(Endpoint("10.0.0.2", 80), Endpoint("10.0.0.1", 80)));
        Assert.Equal("b", two.Instances.Find(at)!.Service.Name);
        Assert.Equal("a", one.Instances.Find(at)!.Service.Name); // a snapshot does not change
        var three = Link(linker, clusters, Both(Endpoint("10.0.0.2", 80), Endpoint("127.0.0.1", 80)));
        Assert.Null(three.Instances.Find(at));
        Assert.Null(three.Instances.Find(new IPEndPoint(IPAddress.Loopback, 80)));
        Assert.Equal(1, three.Instances.Count);
        Assert.Equal(0, Link(linker, Eds("c", "http"), Assignment("c")).Instances.Count);
    }

    [Fact]
    public void WhereNothingIsCapturedNothingIsKept()
    {
        var set = Yaml.Set(CapturedYaml.File(Outbound("outbound", "127.0.0.1", TcpChain("10.0.0.1", 1, "web")).Replace(OriginalDst + ",", "", StringComparison.Ordinal), Passthrough + ", " + Eds("web", "http"), Assignment("web", Endpoint("10.0.0.1", 80))));
        Assert.Equal(0, new Linker().Link(set).Instances.Count);
    }

    [Theory]
    [InlineData(1, 10_000)]
    [InlineData(100, 100)]
    public void OneChangeAmongTenThousandCostsWhatChanged(int services, int each)
    {
        var linker = new Linker();
        var clusters = string.Join(", ", Enumerable.Range(0, services).Select(s => Eds($"s{s}", "http")));
        string Of(int service, int last) => Assignment($"s{service}", [.. Enumerable.Range(0, each).Select(i => Endpoint(Address(service, i == each - 1 ? last : i), 80))]);
        var set = Yaml.Set(File(clusters, string.Join(", ", Enumerable.Range(0, services).Select(s => Of(s, each - 1)))));
        var changed = Yaml.Set(File(Eds("s0", "http"), Of(0, 60_000))).Endpoints["s0"];

        var began = TimeProvider.System.GetTimestamp();
        var before = linker.Link(set);
        var whole = TimeProvider.System.GetElapsedTime(began);
        Assert.Equal(10_000, before.Instances.Count);
        TimeSpan best = TimeSpan.MaxValue;
        var allocated = 0L;
        for (var i = 0; i < 20; i++)
        {
            var next = i % 2 == 0 ? set with { Endpoints = set.Endpoints.SetItem("s0", changed) } : set;
            var bytes = GC.GetAllocatedBytesForCurrentThread();
            began = TimeProvider.System.GetTimestamp();
            var after = linker.Link(next);
            var took = TimeProvider.System.GetElapsedTime(began);
            allocated = GC.GetAllocatedBytesForCurrentThread() - bytes;
            best = took < best ? took : best;
            var same = new IPEndPoint(IPAddress.Parse(Address(0, 5)), 80);
            Assert.Same(before.Instances.Find(same), after.Instances.Find(same));
            Assert.Equal(i % 2 == 0, after.Instances.Find(new IPEndPoint(IPAddress.Parse(Address(0, 60_000)), 80)) is not null);
        }

        var found = new IPEndPoint(IPAddress.Parse(Address(0, 5)), 80);
        began = TimeProvider.System.GetTimestamp();
        for (var i = 0; i < 1_000_000; i++) before.Instances.Find(found);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{services} x {each}: whole {whole.TotalMilliseconds:0.0} ms, one change {best.TotalMilliseconds:0.00} ms and {allocated / 1024} KiB, a lookup {TimeProvider.System.GetElapsedTime(began).TotalNanoseconds / 1_000_000:0} ns"));
    }

    private static string Address(int service, int instance) => string.Create(CultureInfo.InvariantCulture, $"10.{service + 1}.{instance >> 8}.{instance & 255}");

    private static string File(string clusters, string assignments) =>
        CapturedYaml.File(Outbound("outbound", "127.0.0.1", TcpChain("10.0.0.1", 1, "PassthroughCluster")), Passthrough + ", " + clusters, assignments);

    private static Snapshot Link(Linker linker, string clusters, string assignments)
    {
        var errors = new ConfigErrors();
        var set = Mesh.Sidecar.Xds.StaticFile.Parse("test.yaml", File(clusters, assignments), errors);
        Assert.Empty(errors.Texts);
        return linker.Link(set);
    }

    private static string Eds(string name, string protocol, string fields = "") =>
        $"{{name: {name}, type: EDS, connect_timeout: 2s, eds_cluster_config: {{eds_config: {{ads: {{}}, resource_api_version: V3}}}}, metadata: {{filter_metadata: {{mesh.service: {{host: {name}.default.svc.cluster.local, name: {name}, namespace: default, port: 80, protocol: \"{protocol}\"}}}}}}, {fields}}}";

    private static string Secured(string name, params string[] expected)
    {
        var names = string.Join(", ", expected.Select(e => $"{{san_type: URI, matcher: {{exact: '{e}'}}}}"));
        return Eds(name, "http", $"transport_socket: {{name: tls, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: x, common_tls_context: {{{Sds}, "
            + $"combined_validation_context: {{default_validation_context: {{match_typed_subject_alt_names: [{names}]}}, validation_context_sds_secret_config: {{name: ROOTCA, sds_config: {{ads: {{}}, resource_api_version: V3}}}}}}}}}}}}");
    }

    private static string Assignment(string name, params string[] endpoints) =>
        new StringBuilder($"{{\"@type\": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment, cluster_name: {name}, endpoints: [{{lb_endpoints: [").AppendJoin(", ", endpoints).Append("]}]}").ToString();
}
