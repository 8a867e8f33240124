using System.Collections.Immutable;
using System.Net;
using Mesh.Api.Identity;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Testbed;

/// <summary>An authority of a test and the credentials it issues.</summary>
internal sealed class Authority
{
    public const string Cart = "spiffe://cluster.local/ns/shop/sa/cart";
    public const string Web = "spiffe://cluster.local/ns/shop/sa/web";
    private readonly CertificateForge forge;
    private readonly Forged root;
    private readonly Forged issuing;

    public Authority(TimeProvider? time = null, string trustDomain = "cluster.local")
    {
        forge = new CertificateForge(time ?? TimeProvider.System, trustDomain);
        root = forge.Root();
        issuing = forge.Authority(root);
    }

    public string RootPem => root.Pem;

    public TrustBundle Bundle => TrustBundle.FromPem(forge.TrustDomain, root.Pem);

    public Forged Leaf(string id, Action<CertificateRecipe>? spoil = null) => forge.Leaf(issuing, id, spoil);

    public string ChainPem(Forged leaf) => leaf.Pem + issuing.Pem;

    public Credentials For(string id, Action<CertificateRecipe>? spoil = null, TrustBundle? believing = null)
    {
        var leaf = Leaf(id, spoil);
        return new Credentials(Svid.FromPem(ChainPem(leaf), leaf.KeyPem), believing ?? Bundle);
    }
}

/// <summary>Two real data paths: the client's outbound one calls the server's inbound one over mutual TLS. Web calls Cart.</summary>
internal sealed class Pair : IAsyncDisposable
{
    private Pair(Authority authority, Bed client, Bed server, Cluster cluster, (Security Client, Security Server) security) =>
        (Authority, Client, Server, Cluster, ClientSecurity, ServerSecurity) = (authority, client, server, cluster, security.Client, security.Server);

    /// <summary>Of the server, at once.</summary>
    public const int MostHandshakes = 50;

    public Authority Authority { get; }

    public Bed Client { get; }

    public Bed Server { get; }

    /// <summary>The client's cluster, whose endpoint is the server.</summary>
    public Cluster Cluster { get; }

    public Security ClientSecurity { get; }

    public Security ServerSecurity { get; }

    /// <summary>HTTP in, HTTP out.</summary>
    public static Task<Pair> HttpAsync(IPEndPoint app, UpstreamProtocol protocol = UpstreamProtocol.Downstream, UpstreamTls? expecting = null, Authority? authority = null) =>
        StartAsync(app, protocol, expecting, authority, at => MutualListener(at, Bed.Table(Bed.Cluster(UpstreamProtocol.Downstream, app))), (at, c) => Bed.HttpListener(at, Bed.Table(c)));

    /// <summary>Bytes in, bytes out.</summary>
    public static Task<Pair> TcpAsync(IPEndPoint app, Authority? authority = null) =>
        StartAsync(app, UpstreamProtocol.Http1, null, authority, at => MutualTcpListener(at, Bed.Cluster(app)), (at, c) => Bed.TcpListener(at, c));

    public async ValueTask DisposeAsync()
    {
        await Client.DisposeAsync();
        await Server.DisposeAsync();
    }

    /// <summary>The client from now on expects others at the same address.</summary>
    public void Expect(params string[] ids) =>
        Client.Snapshots.Publish(Bed.Snap(Bed.HttpListener(Client.Port, Bed.Table(ClusterAt(Server.Port, Expecting(ids), Cluster.Protocol, Cluster)))));

    public static UpstreamTls Expecting(params string[] ids) =>
        new(new PeerRule([.. ids.Order(StringComparer.Ordinal)], []), "outbound_.80_._.cart.shop.svc.cluster.local", [Alpn.MeshTcp]);

    public static Cluster ClusterAt(IPEndPoint server, UpstreamTls? tls, UpstreamProtocol protocol, Cluster? like = null) => new()
    {
        Name = "outbound|80||cart.shop.svc.cluster.local",
        Kind = ClusterKind.Endpoints,
        Policy = LbPolicy.RoundRobin,
        Protocol = protocol,
        Endpoints = [EndpointAt(server, tls, like)],
        Service = new ServiceLabels("cart.shop.svc.cluster.local", "cart", "shop", 80),
        State = like?.State ?? new ClusterState(),
    };

    /// <summary>An inbound listener as the control plane writes it for a detected port: STRICT.</summary>
    public static Listener MutualListener(IPEndPoint address, RouteTable routes, params FilterChain[] plain)
    {
        var http = new HttpConnectionManager { Routes = routes };
        return Inbound(address,
        [
            Chain("mtls-http1", Alpn.MeshHttp1) with { Http = http with { Codec = HttpCodec.Http1 } },
            Chain("mtls-http2", Alpn.MeshHttp2) with { Http = http with { Codec = HttpCodec.Http2 } },
            .. plain,
        ]);
    }

    public static Listener MutualTcpListener(IPEndPoint address, Cluster cluster) =>
        Inbound(address, [Chain("mtls-tcp", Alpn.MeshTcp, Alpn.MeshHttp1, Alpn.MeshHttp2) with { Tcp = Bed.TcpTo(cluster) }]);

    public static FilterChain Chain(string name, params string[] alpn) => new()
    {
        Name = name,
        TransportProtocol = Spoken.Tls,
        ApplicationProtocols = [.. alpn],
        Tls = new DownstreamTls(new PeerRule([], ["spiffe://cluster.local/"]), [.. alpn]),
    };

    private static Listener Inbound(IPEndPoint address, ImmutableArray<FilterChain> chains) =>
        new() { Name = "inbound|8080", Slot = 0, Address = address, Direction = Direction.Inbound, InspectsTls = true, Chains = chains };

    private static async Task<Pair> StartAsync(
        IPEndPoint app, UpstreamProtocol protocol, UpstreamTls? expecting, Authority? authority,
        Func<IPEndPoint, Listener> serverListener, Func<IPEndPoint, Cluster, Listener> clientListener)
    {
        authority ??= new Authority();
        var (ofClient, ofServer) = (new Security(TimeProvider.System), new Security(TimeProvider.System));
        ofClient.Own.Set(authority.For(Authority.Web));
        ofServer.Own.Set(authority.For(Authority.Cart));
        var server = await Bed.StartAsync(at => Bed.Snap(serverListener(at)), settings: Settings("cart", ofServer) with { MostHandshakes = MostHandshakes });
        Cluster? cluster = null;
        var client = await Bed.StartAsync(
            at => Bed.Snap(clientListener(at, cluster = ClusterAt(server.Port, expecting ?? Expecting(Authority.Cart), protocol))), settings: Settings("web", ofClient));
        return new Pair(authority, client, server, cluster!, (ofClient, ofServer));
    }

    private static DataPathSettings Settings(string name, Security security) =>
        new() { Self = new PeerLabels($"{name}-1", "shop", name, "v1"), Seed = 42, Security = security };

    private static Endpoint EndpointAt(IPEndPoint server, UpstreamTls? tls, Cluster? like) => new()
    {
        Host = server.Address.ToString(),
        Port = server.Port,
        Authority = server.ToString(),
        Address = server,
        Tls = tls,
        Peer = new PeerLabels("cart-1", "shop", "cart", "v1"),
        Stats = like?.Endpoints[0].Stats ?? new EndpointStats(),
    };
}
