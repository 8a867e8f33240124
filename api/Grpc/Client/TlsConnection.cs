using System.Net.Security;
using System.Net.Sockets;

namespace Mesh.Api.Grpc;

/// <summary>Dials a server and shakes hands with the TLS options of this moment; a plaintext address stays plaintext. Stateless.</summary>
internal static class TlsConnection
{
    public static async ValueTask<Stream> ConnectAsync(
        SocketsHttpConnectionContext context, Func<SslClientAuthenticationOptions> tls, CancellationToken cancellation)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        Stream? stream = null;
        try
        {
            await socket.ConnectAsync(context.DnsEndPoint, cancellation);
            stream = new NetworkStream(socket, ownsSocket: true);
            if (context.InitialRequestMessage.RequestUri?.Scheme != Uri.UriSchemeHttps) return stream;
            var secured = new SslStream(stream);
            stream = secured;
            var how = tls();
            how.ApplicationProtocols ??= [SslApplicationProtocol.Http2];
            how.TargetHost ??= context.DnsEndPoint.Host;
            await secured.AuthenticateAsClientAsync(how, cancellation);
            return secured;
        }
        catch
        {
            if (stream is null) socket.Dispose();
            else await stream.DisposeAsync();
            throw;
        }
    }
}
