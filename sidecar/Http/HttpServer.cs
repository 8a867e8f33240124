using System.Text;
using Mesh.Sidecar.Listening;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Abstractions;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Mesh.Sidecar.Http;

/// <summary>
/// Kestrel's HTTP/1 and HTTP/2 engines, without its sockets and without a host around them: connections come from our acceptors, requests go
/// to the page. Owned by the data path.
/// </summary>
internal sealed class HttpServer : IAsyncDisposable
{
    private const string NoLineFeeds = "Microsoft.AspNetCore.Server.Kestrel.DisableHttp1LineFeedTerminators";
    private readonly KestrelServer kestrel;
    private readonly Application application;

    /// <summary>Makes the engines; they serve from <see cref="StartAsync"/> on.</summary>
    public HttpServer(HttpProxy proxy, ConnectionFeed feed, TimeProvider time, ILoggerFactory logs)
    {
        // Kestrel reads it once, when its first parser is made: a line ends in CR LF and nothing else.
        AppContext.SetSwitch(NoLineFeeds, true);
        application = new Application(proxy, time);
        kestrel = new KestrelServer(Options.Create(Configure()), feed, logs);
    }

    /// <summary>Begins to serve.</summary>
    public Task StartAsync(CancellationToken cancel) => kestrel.StartAsync(application, cancel);

    /// <summary>Lets what runs finish until cancelled, then ends it.</summary>
    public Task StopAsync(CancellationToken cancel) => kestrel.StopAsync(cancel);

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        kestrel.Dispose();
        return ValueTask.CompletedTask;
    }

    private static KestrelServerOptions Configure()
    {
        var options = new KestrelServerOptions
        {
            AddServerHeader = false,
            // TLS ends before Kestrel: whoever calls under mutual TLS may say https and is right.
            AllowAlternateSchemes = true,
            AllowSynchronousIO = false,
            // The target wins over a Host that differs (RFC 9112 §3.2.2); we read the authority from it ourselves.
            AllowHostHeaderOverride = true,
            // Bytes go through as they came: Latin-1 maps each byte to one character and back.
            RequestHeaderEncodingSelector = static name => name == "Connection" ? ConnectionField.Instance : Encoding.Latin1,
            ResponseHeaderEncodingSelector = static _ => Encoding.Latin1,
        };
        var limits = options.Limits;
        limits.MaxRequestHeadersTotalSize = 32 * 1024;
        limits.MaxRequestHeaderCount = 100;
        limits.MaxRequestLineSize = 8 * 1024;
        limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
        limits.KeepAliveTimeout = TimeSpan.FromHours(1);
        limits.MaxRequestBodySize = null;
        limits.MinRequestBodyDataRate = null;
        limits.MinResponseDataRate = null;
        limits.MaxConcurrentConnections = null; // the acceptors bound them
        limits.Http2.MaxStreamsPerConnection = 1000;
        limits.Http2.InitialConnectionWindowSize = 4 * 1024 * 1024;
        limits.Http2.InitialStreamWindowSize = 1024 * 1024;
        options.Listen(ConnectionFeed.Http1, static o => o.Protocols = HttpProtocols.Http1);
        options.Listen(ConnectionFeed.Http2, static o => o.Protocols = HttpProtocols.Http2);
        return options;
    }

    /// <summary>Hands requests from Kestrel to the page; the exchange is kept with the connection or stream and reused.</summary>
    private sealed class Application(HttpProxy proxy, TimeProvider time) : IHttpApplication<Exchange>
    {
        public Exchange CreateContext(IFeatureCollection contextFeatures)
        {
            Exchange exchange;
            if (contextFeatures is IHostContextContainer<Exchange> container) exchange = container.HostContext ??= new Exchange();
            else exchange = new Exchange();
            exchange.Begin(contextFeatures, time.GetTimestamp());
            return exchange;
        }

        public Task ProcessRequestAsync(Exchange context) => proxy.ServeAsync(context);

        public void DisposeContext(Exchange context, Exception? exception)
        {
        }
    }
}
