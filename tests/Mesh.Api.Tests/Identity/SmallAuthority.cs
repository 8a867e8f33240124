using System.Collections.Concurrent;
using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Istio.V1.Auth;
using Mesh.Api.Grpc;
using Mesh.Api.Identity;
using Mesh.Tests;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.Logging;

namespace Mesh.Api.Tests.Identity;

/// <summary>What a request for a certificate came with.</summary>
internal sealed record Asked(string Authorization, X509Certificate2? Certificate, PublicKey Key);

/// <summary>A control plane's certificate service over real TLS, as far as an agent can tell; a test says how it misbehaves.</summary>
internal sealed class SmallAuthority : IAsyncDisposable
{
    private readonly WebApplication app;
    private volatile X509Certificate2 shown;

    private SmallAuthority(WebApplication app, CertificateForge forge)
    {
        (this.app, Forge) = (app, forge);
        Root = forge.Root();
        Issuer = forge.Authority(Root);
        shown = Show(forge.ControlPlane(Issuer, Root));
        Answer = DefaultAnswer;
    }

    public CertificateForge Forge { get; }

    public Forged Root { get; set; }

    public Forged Issuer { get; set; }

    public string Address { get; private set; } = "";

    public ConcurrentQueue<Asked> Requests { get; } = new();

    public TimeSpan Lifetime { get; set; } = TimeSpan.FromHours(24);

    /// <summary>How a request is answered.</summary>
    public Func<Asked, IstioCertificateResponse> Answer { get; set; }

    public TrustBundle Bundle => new("cluster.local", [Root.Certificate]);

    public static async Task<SmallAuthority> StartAsync(TimeProvider time)
    {
        SmallAuthority? authority = null;
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            GrpcKestrel.Configure(kestrel);
            kestrel.Listen(IPAddress.Loopback, 0, listen =>
            {
                listen.Protocols = HttpProtocols.Http2;
                listen.UseHttps(new TlsHandshakeCallbackOptions { OnConnection = _ => ValueTask.FromResult(authority!.Tls()) });
            });
        });
        var server = builder.Build();
        authority = new SmallAuthority(server, new CertificateForge(time));
        server.MapGrpcUnary(CertificateMethods.CreateCertificate, (request, context) => Task.FromResult(authority.Serve(request, context)));
        await server.StartAsync();
        authority.Address = new Uri(server.Urls.First()).Authority;
        return authority;
    }

    /// <summary>Changes what the server shows of itself.</summary>
    public X509Certificate2 Show(Forged certificate)
    {
        Intermediates = [.. certificate.Intermediates()];
        return shown = certificate.WithKey();
    }

    public X509Certificate2[] Intermediates { get; private set; } = [];

    public string Token(string id = CertificateForge.Workload) => JoinToken.Create(
        SpiffeId.Parse(id), ["cart"], [], DateTimeOffset.MaxValue.AddDays(-1), TrustBundle.Sha256(Root.Certificate), new byte[32]).Text;

    /// <summary>A leaf for the key that was asked with.</summary>
    public Forged LeafFor(Asked asked, string id = CertificateForge.Workload, Action<CertificateRecipe>? spoil = null) =>
        Forge.LeafFor(Issuer, asked.Key.ExportSubjectPublicKeyInfo(), id, Lifetime, spoil);

    public IstioCertificateResponse DefaultAnswer(Asked asked) => Chain(LeafFor(asked).Pem, Issuer.Pem, Root.Pem);

    public static IstioCertificateResponse Chain(params string[] parts)
    {
        var response = new IstioCertificateResponse();
        response.CertChain.AddRange(parts);
        return response;
    }

    public ValueTask DisposeAsync() => app.DisposeAsync();

    private SslServerAuthenticationOptions Tls() => new()
    {
        ServerCertificateContext = SslStreamCertificateContext.Create(shown, [.. Intermediates], offline: true),
        EnabledSslProtocols = SslProtocols.Tls13,
        ClientCertificateRequired = true,
        CertificateChainPolicy = SvidVerifier.HandshakePolicy(),
        RemoteCertificateValidationCallback = (_, _, _, _) => true,
        ApplicationProtocols = [SslApplicationProtocol.Http2],
    };

    private IstioCertificateResponse Serve(IstioCertificateRequest request, ServerCallContext context)
    {
        if (!Csr.TryReadKey(request.Csr, out var key, out var problem)) throw new GrpcException(GrpcStatusCode.InvalidArgument, problem);
        var asked = new Asked(context.Http.Request.Headers.Authorization.ToString(), context.Http.Connection.ClientCertificate, key);
        Requests.Enqueue(asked);
        return Answer(asked);
    }
}
