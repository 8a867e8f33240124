using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Tests.Testbed;

/// <summary>Servers that prove an identity and then say whatever they like; and data paths that call them.</summary>
internal static class ProvenOrigin
{
    private const string HeadEnd = "\r\n\r\n";

    /// <summary>Answers every request over mutual TLS with the same bytes. Requests have no bodies, or small ones that come with their heads.</summary>
    public static RecordingOrigin Saying(Authority authority, string answer, Action? asked = null, string id = Authority.Cart) => new(async c =>
    {
        await using var tls = new SslStream(new NetworkStream(c.Socket));
        await tls.AuthenticateAsServerAsync(new SslServerAuthenticationOptions
        {
            ServerCertificateContext = authority.For(id).Svid.TlsContext,
            ApplicationProtocols = [new(Alpn.MeshHttp1)],
            ClientCertificateRequired = true,
            RemoteCertificateValidationCallback = (_, _, _, _) => true,
        });
        var buffer = new byte[4096];
        for (var text = ""; await tls.ReadAsync(buffer) is > 0 and var count;)
        {
            text += Encoding.Latin1.GetString(buffer, 0, count);
            if (!text.Contains(HeadEnd, StringComparison.Ordinal)) continue;
            text = "";
            asked?.Invoke();
            await tls.WriteAsync(Encoding.Latin1.GetBytes(answer));
        }
    });

    /// <summary>A data path with a certificate for Web, which calls these endpoints; those it expects nobody at are called in plaintext.</summary>
    public static Task<Bed> CallerAsync(Authority authority, params (System.Net.IPEndPoint Address, bool Expected)[] endpoints)
    {
        var security = new Security(TimeProvider.System);
        security.Own.Set(authority.For(Authority.Web));
        var all = endpoints.Select(e => Pair.ClusterAt(e.Address, e.Expected ? Pair.Expecting(Authority.Cart) : null, UpstreamProtocol.Http1)).ToList();
        var cluster = new Cluster
        {
            Name = all[0].Name,
            Kind = all[0].Kind,
            Policy = all[0].Policy,
            Endpoints = [.. all.SelectMany(c => c.Endpoints)],
            Service = all[0].Service,
            State = new ClusterState(),
        };
        var settings = new DataPathSettings { Self = new("web-1", "shop", "web", "v1"), Seed = 42, Security = security };
        return Bed.StartAsync(at => Bed.Snap(Bed.HttpListener(at, Bed.Table(cluster))), settings: settings);
    }
}
