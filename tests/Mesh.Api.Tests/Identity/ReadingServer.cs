using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using Mesh.Tests;

namespace Mesh.Api.Tests.Identity;

/// <summary>A TLS server that answers nothing and counts what it is sent, decrypted.</summary>
internal sealed class ReadingServer : IAsyncDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly Task<int> first;

    public ReadingServer(Forged certificate)
    {
        listener.Start();
        first = Task.Run(() => ServeAsync(certificate));
    }

    public string Address => listener.LocalEndpoint.ToString()!;

    public Task<int> BytesOfFirstConnectionAsync() => first.WaitAsync(TimeSpan.FromSeconds(20));

    public ValueTask DisposeAsync()
    {
        listener.Stop();
        return ValueTask.CompletedTask;
    }

    private async Task<int> ServeAsync(Forged certificate)
    {
        using var client = await listener.AcceptTcpClientAsync();
        await using var tls = new SslStream(client.GetStream());
        try
        {
            await tls.AuthenticateAsServerAsync(new SslServerAuthenticationOptions
            {
                ServerCertificateContext = SslStreamCertificateContext.Create(certificate.WithKey(), [.. certificate.Intermediates()], offline: true),
                EnabledSslProtocols = SslProtocols.Tls13,
                ApplicationProtocols = [SslApplicationProtocol.Http2],
            });
            return await tls.ReadAsync(new byte[16 * 1024]);
        }
        catch (Exception e) when (e is IOException or AuthenticationException)
        {
            return 0;
        }
    }
}
