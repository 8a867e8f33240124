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
        var servers = options.OwnAddress is { } own ? await AddressesAsync(context.DnsEndPoint.Host, own, cancellation) : [];
        var from = options.LocalAddress ?? SeenAs(options.OwnAddress, servers);
        var socket = from is null ? new Socket(SocketType.Stream, ProtocolType.Tcp) : new Socket(from.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        socket.NoDelay = true;
        Stream? stream = null;
        try
        {
            if (from is not null) Bind(socket, from, isNeeded: options.LocalAddress is not null);
            if (options.LocalAddress is not null || servers.Length == 0) await socket.ConnectAsync(context.DnsEndPoint, cancellation);
            else await socket.ConnectAsync(from is null ? servers : [servers[0]], context.DnsEndPoint.Port, cancellation);
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

    private static async Task<IPAddress[]> AddressesAsync(string host, IPAddress own, CancellationToken cancellation) =>
        [.. (await Dns.GetHostAddressesAsync(host.Trim('[', ']'), cancellation)).OrderByDescending(address => address.AddressFamily == own.AddressFamily)];

    /// <summary>The address to dial from, where the routes would choose loopback's.</summary>
    private static IPAddress? SeenAs(IPAddress? own, IPAddress[] servers) =>
        own is not null && !IPAddress.IsLoopback(own) && servers is [var first, ..] && first.AddressFamily == own.AddressFamily && IPAddress.IsLoopback(first) ? own : null;

    // An address that only others have for this machine (behind NAT) cannot be dialled from.
    private static void Bind(Socket socket, IPAddress from, bool isNeeded)
    {
        try
        {
            socket.Bind(new IPEndPoint(from, 0));
        }
        catch (SocketException e) when (!isNeeded && e.SocketErrorCode == SocketError.AddressNotAvailable)
        {
            // It is seen as it is seen then.
        }
    }
}
