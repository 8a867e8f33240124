using System.Net;
using System.Net.Sockets;
using Mesh.Api.Grpc;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Mesh.ControlPlane;

/// <summary>
/// One HTTP server on addresses of its own: each port of the control plane is a whole application, so that nothing of one is reachable
/// through another. Owned by the program; disposing it closes the port.
/// </summary>
internal sealed class ServedPort : IAsyncDisposable
{
    private readonly WebApplication application;
    private readonly IReadOnlyList<ListenAddress> asked;

    private ServedPort(WebApplication application, IReadOnlyList<ListenAddress> asked) => (this.application, this.asked) = (application, asked);

    /// <summary>The bound addresses, free ports filled in, as <c>127.0.0.1:1234</c> or <c>unix:/path</c>.</summary>
    public IReadOnlyList<string> Addresses { get; private set; } = [];

    /// <summary>Binds and serves. A <see cref="StartException"/> says which address could not be had, and why.</summary>
    /// <param name="name">What it is for, for error texts.</param>
    /// <param name="addresses">Where to listen.</param>
    /// <param name="listen">Sets up each address: what is spoken there, and TLS.</param>
    /// <param name="map">Adds what is served.</param>
    /// <param name="logs">Where the server logs.</param>
    public static async Task<ServedPort> StartAsync(
        string name, IReadOnlyList<ListenAddress> addresses, Action<ListenOptions> listen, Action<WebApplication> map, ILoggerFactory logs)
    {
        // Empty: neither environment variables nor files can add addresses or switches.
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "mesh-control-plane" });
        builder.Services.AddSingleton(logs);
        builder.Services.AddRoutingCore();
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            foreach (var address in addresses)
            {
                if (address.SocketPath is { } path) kestrel.ListenUnixSocket(path, listen);
                else kestrel.Listen(address.Ip!, listen);
            }
        });
        builder.WebHost.UseSockets(sockets => sockets.CreateBoundListenSocket = Bind);
        var built = builder.Build();
        map(built);
        try
        {
            await built.StartAsync();
        }
        catch (Exception e) when (e is IOException or SocketException or UnauthorizedAccessException)
        {
            await built.DisposeAsync();
            throw new StartException($"cannot listen for {name} on {string.Join(", ", addresses)}: {(e.InnerException ?? e).Message}", e);
        }

        var bound = built.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses;
        return new ServedPort(built, addresses) { Addresses = [.. addresses.Zip(bound, (wanted, got) => wanted.SocketPath is null ? new Uri(got).Authority : wanted.ToString())] };
    }

    /// <summary>Takes no new connections and gives requests that run until <paramref name="limit"/>.</summary>
    public Task StopAsync(CancellationToken limit) => application.StopAsync(limit);

    /// <summary>HTTP/1.1, for people and their tools.</summary>
    public static void Http1(ListenOptions listen) => listen.Protocols = HttpProtocols.Http1;

    /// <summary>HTTP/2 in plaintext, for gRPC.</summary>
    public static void Grpc(ListenOptions listen)
    {
        listen.Protocols = HttpProtocols.Http2;
        GrpcKestrel.Configure(listen.KestrelServerOptions);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await application.DisposeAsync();
        foreach (var address in asked)
        {
            if (address.SocketPath is { } path) File.Delete(path);
        }
    }

    private static Socket Bind(EndPoint endpoint) =>
        endpoint is UnixDomainSocketEndPoint unix ? UnixSocket.Bind(unix.ToString()) : SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint);
}
