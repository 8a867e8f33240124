using System.Net;
using Mesh.Api.Logging;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Mesh.Sidecar.Admin;

/// <summary>Where the three surfaces listen; null leaves one out.</summary>
internal sealed record AdminAddresses(IPEndPoint? Admin, IPEndPoint? Metrics, IPEndPoint? Readiness);

/// <summary>
/// One small Kestrel, without a host, for admin, metrics and readiness. Started and disposed by Program: started early, so that readiness can
/// say why not yet; disposed last.
/// </summary>
internal sealed class AdminServer : IAsyncDisposable
{
    private readonly KestrelServer server;
    private readonly Dispatcher dispatcher;
    private readonly ListenOptions? admin;
    private readonly ListenOptions? metrics;
    private readonly ListenOptions? readiness;

    /// <summary>A server of <paramref name="sources"/>, not yet listening.</summary>
    public AdminServer(AdminAddresses addresses, AdminSources sources)
    {
        dispatcher = new Dispatcher(sources.Log.For("admin"));
        var options = new KestrelServerOptions { AddServerHeader = false };
        options.Limits.MaxRequestBodySize = 64 * 1024;
        options.Limits.MaxConcurrentConnections = 256;
        options.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
        admin = Listen(options, addresses.Admin, new AdminPages(sources).HandleAsync);
        metrics = Listen(options, addresses.Metrics, new MetricsPages(sources).HandleAsync);
        readiness = Listen(options, addresses.Readiness, new ReadinessPages(sources).HandleAsync);
        var transport = new SocketTransportFactory(Options.Create(new SocketTransportOptions { IOQueueCount = 1 }), NullLoggerFactory.Instance);
        server = new KestrelServer(Options.Create(options), transport, NullLoggerFactory.Instance);
    }

    /// <summary>The addresses bound, once started.</summary>
    public AdminAddresses Bound => new(admin?.IPEndPoint, metrics?.IPEndPoint, readiness?.IPEndPoint);

    /// <summary>Binds and serves. Throws <see cref="IOException"/> with the address in its text when one is taken.</summary>
    public Task StartAsync(CancellationToken cancel) => server.StartAsync(dispatcher, cancel);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        // Nobody's work is lost when an admin answer is cut: no grace.
        await server.StopAsync(new CancellationToken(canceled: true));
        server.Dispose();
    }

    private static ListenOptions? Listen(KestrelServerOptions options, IPEndPoint? address, RequestDelegate pages)
    {
        if (address is null) return null;
        ListenOptions? made = null;
        options.Listen(address, listen =>
        {
            made = listen;
            listen.Protocols = HttpProtocols.Http1;
            listen.Use(next => connection =>
            {
                connection.Features.Set(new Surface(pages));
                return next(connection);
            });
        });
        return made;
    }

    /// <summary>Says on the connection which pages its requests get.</summary>
    private sealed record Surface(RequestDelegate Pages);

    private sealed class Dispatcher(Log log) : IHttpApplication<HttpContext>
    {
        public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

        public Task ProcessRequestAsync(HttpContext context) => context.Features.Get<Surface>()!.Pages(context);

        public void DisposeContext(HttpContext context, Exception? exception)
        {
            if (exception is not null and not OperationCanceledException)
                log.Error("a page failed", ("path", context.Request.Path.Value), ("error", exception));
        }
    }
}
