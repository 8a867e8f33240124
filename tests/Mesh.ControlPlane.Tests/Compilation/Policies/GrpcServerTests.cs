using System.Runtime.CompilerServices;
using System.Text;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules;
using Mesh.ControlPlane.Tests.Xds;
using Mesh.Tests;
using static Mesh.ControlPlane.Tests.Model.Policies.PolicyWorld;

namespace Mesh.ControlPlane.Tests.Compilation.Policies;

/// <summary>Listeners of gRPC servers without a proxy: their form, and gRPC's own C core enforcing one.</summary>
public sealed class GrpcServerTests
{
    private static readonly string Rules =
        Authorization("callers", "rules: [{from: [{source: {ipBlocks: [127.0.0.0/8]}}], when: [{key: \"request.headers[x-team]\", values: [\"a*\", b]}]}]")
        + Authorization("no-admin", "action: DENY, rules: [{to: [{operation: {paths: [\"/mesh.test.Echo/Admin*\"]}}]}, {to: [{operation: {paths: [\"/{*}/Secret\"]}}]}]")
        + Authorization("watch", "action: AUDIT, rules: [{}]") + Authorization("trial", "action: DENY, rules: [{}]", dryRun: true);

    private static NodeDescription Server => Compiled.GrpcNode("shop") with
    {
        Service = "cart",
        Labels = Mesh.ControlPlane.Tests.Model.Given.Workload("cart-1", "shop/cart").Labels,
        Ports = [new NodePort(50051, "", AppProtocol.Grpc, new HostPort("127.0.0.1", 50051))],
    };

    [Fact]
    public void A_server_gets_one_chain_with_what_gRPC_understands()
    {
        var listener = Of(Rules).For(Server).Listeners.Get<Listener>("grpc/server?xds.resource.listening_address=127.0.0.1:50051");
        Assert.Equal((50051u, 0, 0), (listener.Address.SocketAddress.PortValue, listener.FilterChains.Count, listener.ListenerFilters.Count));
        Assert.Null(listener.DefaultFilterChain.TransportSocket);
        var manager = Assert.Single(listener.DefaultFilterChain.Filters).TypedConfig.Unpack<HttpConnectionManager>();
        Assert.Equal(["envoy.filters.http.rbac.deny", "envoy.filters.http.rbac.allow", "envoy.filters.http.router"], manager.HttpFilters.Select(filter => filter.Name));
        Assert.DoesNotContain("string_match", manager.ToString(), StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain(Of(Rules).For(Compiled.GrpcNode("shop")).Listeners.Names(), name => name.StartsWith("grpc/server", StringComparison.Ordinal));
    }

    [Fact]
    public void Where_mutual_TLS_is_a_must_it_is_TLS_or_nothing()
    {
        var world = Of(PeerAuthentication("strict", "mtls: {mode: STRICT}"));
        var name = "grpc/server?xds.resource.listening_address=127.0.0.1:50051";
        var secured = world.For(Server with { HasCertificates = true }).Listeners.Get<Listener>(name).DefaultFilterChain;
        var context = secured.TransportSocket.TypedConfig.Unpack<DownstreamTlsContext>();
        Assert.True(context.RequireClientCertificate);
        Assert.Equal("default", context.CommonTlsContext.TlsCertificateProviderInstance.InstanceName);
        Assert.Empty(context.CommonTlsContext.ValidationContext.MatchSubjectAltNames);

        var config = world.For(Server);
        var closed = config.Listeners.Get<Listener>(name).DefaultFilterChain.Filters[0].TypedConfig.Unpack<HttpConnectionManager>();
        Assert.Empty(closed.HttpFilters[0].TypedConfig.Unpack<Envoy.Extensions.Filters.Http.Rbac.V3.RBAC>().Rules.Policies);
        Assert.Contains(config.Notices, notice => notice.Text.Contains("mesh.certificates: \"default\"", StringComparison.Ordinal));
    }

    [SkippableFact]
    public async Task C_core_enforces_the_listener()
    {
        const string python = "/usr/bin/python3";
        Skip.IfNot(File.Exists(python), "no /usr/bin/python3");
        await using (var probe = ChildProcess.Start(python, ["-c", "import grpc"]))
            Skip.If(await probe.WaitAsync(30) != 0, "gRPC for Python is not installed (Debian package python3-grpcio)");

        await using var ads = await AdsTestServer.StartAsync();
        ads.Store.SetRules(SourceOrder.Files, Read(Rules));
        var address = $"127.0.0.1:{FreePorts.One()}";
        using var folder = new TemporaryFolder();
        var bootstrap = Path.Combine(folder.Path, "bootstrap.json");
        await File.WriteAllTextAsync(bootstrap, $$"""
            {"xds_servers": [{"server_uri": "{{ads.Address}}", "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
             "server_listener_resource_name_template": "grpc/server?xds.resource.listening_address=%s",
             "node": {"id": "cart-1", "cluster": "cart", "locality": {},
                      "metadata": {"mesh": {"service": "cart", "namespace": "shop", "ports": [{"port": 50051, "protocol": "grpc", "listen": "{{address}}"}]} } } }
            """);
        await using var server = ChildProcess.Start(python, [Script(), address], ("GRPC_XDS_BOOTSTRAP", bootstrap), ("http_proxy", null));
        await server.NextLineAsync();
        using var channel = new GrpcChannel(address);
        await Eventually.PassesAsync(async () => Assert.Equal("OK", await CallAsync(channel, "Say", "a1")));

        Assert.Equal("OK", await CallAsync(channel, "Say", "b"));
        Assert.Equal("PermissionDenied", await CallAsync(channel, "Say", "c"));
        Assert.Equal("PermissionDenied", await CallAsync(channel, "Say", null));
        Assert.Equal("PermissionDenied", await CallAsync(channel, "AdminDelete", "a1"));
        Assert.Equal("PermissionDenied", await CallAsync(channel, "Secret", "a1"));

        ads.Store.SetRules(SourceOrder.Files, Read(Authorization("nobody", "")));
        await Eventually.PassesAsync(async () => Assert.Equal("PermissionDenied", await CallAsync(channel, "Say", "a1")));
        ads.Store.SetRules(SourceOrder.Files, RuleSet.Empty);
        await Eventually.PassesAsync(async () => Assert.Equal("OK", await CallAsync(channel, "AdminDelete", null)));
    }

    private static async Task<string> CallAsync(GrpcChannel channel, string method, string? team)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        var options = team is null ? default : new CallOptions { Headers = [new("x-team", team)] };
        try
        {
            var answer = await channel.UnaryAsync(
                new GrpcMethod<StringValue, StringValue>("mesh.test.Echo", method, StringValue.Parser, StringValue.Parser), new StringValue { Value = "hi" }, options, patience.Token);
            return answer.Value == "hi" ? "OK" : answer.Value;
        }
        catch (GrpcException e)
        {
            return e.Code.ToString();
        }
    }

    private static RuleSet Read(string yaml) => RuleReader.Read([new RuleFile("r.yaml", Encoding.UTF8.GetBytes(yaml))]).Rules;

    private static string Script([CallerFilePath] string here = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "..", "..", "..", "interop", "python", "server.py"));
}
