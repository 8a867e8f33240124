using System.Net;
using System.Net.Security;
using System.Net.Sockets;

namespace Mesh.Api.Grpc;

/// <summary>Dials a server and shakes hands with the TLS options of this moment; a plaintext address stays plaintext. Stateless.</summary>
internal static class TlsConnection
{
    public static async ValueTask<Stream> ConnectAsync(
        SocketsHttpConnectionContext context, Func<SslClientAuthenticationOptions> tls, GrpcChannelOptions options, CancellationToken cancellation)
    {
        var from = options.LocalAddress;
        var socket = from is null ? new Socket(SocketType.Stream, ProtocolType.Tcp) : new Socket(from.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        socket.NoDelay = true;
        Stream? stream = null;
        try
        {
            if (from is not null) socket.Bind(new IPEndPoint(from, 0));
            if (from is null && options.PreferredFamily is { } family) await socket.ConnectAsync(await AddressesAsync(context.DnsEndPoint.Host, family, cancellation), context.DnsEndPoint.Port, cancellation);
            else await socket.ConnectAsync(context.DnsEndPoint, cancellation);
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

    private static async Task<IPAddress[]> AddressesAsync(string host, AddressFamily first, CancellationToken cancellation) =>
        [.. (await Dns.GetHostAddressesAsync(host.Trim('[', ']'), cancellation)).OrderByDescending(address => address.AddressFamily == first)];
}
