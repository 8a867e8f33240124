using System.Net.Sockets;
using System.Text;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Tcp;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>Makes the HTTP/2 client of a cluster, with everything off that is not forwarding. Stateless.</summary>
internal static class Http2Pool
{
    /// <summary>A client whose connections go where the request's endpoint says, all on the same terms.</summary>
    public static HttpMessageInvoker Make(Dialer dialer, SidecarMetrics metrics, DialTerms? terms, TimeSpan connectTimeout) => new(new SocketsHttpHandler
    {
        UseProxy = false,
        UseCookies = false,
        AllowAutoRedirect = false,
        AutomaticDecompression = System.Net.DecompressionMethods.None,
        ActivityHeadersPropagator = null,
        EnableMultipleHttp2Connections = true,
        PooledConnectionIdleTimeout = Http1Pool.IdleBound,
        ConnectTimeout = connectTimeout + TimeSpan.FromSeconds(1), // the dialer has the bound; this one only backs it up
        KeepAlivePingDelay = TimeSpan.FromSeconds(30),
        KeepAlivePingTimeout = TimeSpan.FromSeconds(20),
        KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
        MaxResponseHeadersLength = 32,
        InitialHttp2StreamWindowSize = 1024 * 1024,
        RequestHeaderEncodingSelector = static (_, _) => Encoding.Latin1,
        ResponseHeaderEncodingSelector = static (_, _) => Encoding.Latin1,
        ConnectCallback = async (context, cancel) =>
        {
            var options = context.InitialRequestMessage.Options;
            options.TryGetValue(Http2Call.EndpointKey, out var endpoint);
            options.TryGetValue(Http2Call.DirectionKey, out var direction);
            var dialled = await dialer.ConnectAsync(new Dial(endpoint!, terms, Carried.Http2, direction, connectTimeout), cancel);
            return dialled.Transport switch
            {
                null => throw new DialException(dialled.Failure, dialled.Detail),
                TlsTransport tls => Counted(tls, metrics),
                var plain => new CountedStream(plain.Socket, metrics),
            };
        },
    });

    private static Stream Counted(TlsTransport transport, SidecarMetrics metrics)
    {
        metrics.UpstreamOpen.Add(1);
        transport.OnClosed += _ => metrics.UpstreamOpen.Add(-1);
        return transport.Stream;
    }

    private sealed class CountedStream : NetworkStream
    {
        private readonly SidecarMetrics metrics;
        private int open = 1;

        public CountedStream(Socket socket, SidecarMetrics metrics)
            : base(socket, ownsSocket: true)
        {
            this.metrics = metrics;
            metrics.UpstreamOpen.Add(1);
        }

        protected override void Dispose(bool disposing)
        {
            if (Interlocked.Exchange(ref open, 0) == 1) metrics.UpstreamOpen.Add(-1);
            base.Dispose(disposing);
        }
    }
}

/// <summary>Carries the reason of a failed connect out of the runtime's client.</summary>
internal sealed class DialException(Failure failure, string detail) : IOException(detail)
{
    /// <summary>The reason.</summary>
    public Failure Failure => failure;
}
