using System.Net;
using Mesh.Tests;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Mesh.Sidecar.Tests.Testbed;

/// <summary>A real HTTP server behind the sidecar, for what a script over raw bytes would be too long for (HTTP/2, gRPC, WebSocket).</summary>
internal sealed class KestrelOrigin : IAsyncDisposable
{
    private readonly WebApplication app;

    private KestrelOrigin(WebApplication app) => this.app = app;

    public IPEndPoint Address
    {
        get
        {
            var address = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
            return new IPEndPoint(IPAddress.Parse(address.Host), address.Port);
        }
    }

    public static async Task<KestrelOrigin> StartAsync(RequestDelegate handle, HttpProtocols protocols = HttpProtocols.Http2)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k => k.Listen(IPAddress.Loopback, FreePorts.One(), o => o.Protocols = protocols));
        var built = builder.Build();
        built.UseWebSockets();
        built.Run(handle);
        await built.StartAsync();
        return new KestrelOrigin(built);
    }

    public async ValueTask DisposeAsync()
    {
        await app.StopAsync(new CancellationToken(true));
        await app.DisposeAsync();
    }
}
