using System.Net;
using System.Net.Sockets;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace Mesh.Api.Identity.Agent;

/// <summary>
/// The local agent's secret discovery (SDS): hands the newest certificate with its key, and the roots, to programs of the same user on a
/// unix socket of mode 0600. That mode is all that guards the key: whoever may connect is this workload. Its starter disposes it,
/// which ends the streams and removes the socket.
/// </summary>
public sealed class SdsServer : IAsyncDisposable
{
    /// <summary>The most streams at a time; Envoy opens one for each secret and cluster that names it.</summary>
    public const int MostStreams = 256;

    // Envoy describes all its extensions in the first message of a stream.
    private const int LargestRequest = 1 << 20;

    private readonly WebApplication app;
    private readonly string path;
    private readonly IdentityAgent agent;
    private readonly Log log;
    private int streams;

    private SdsServer(WebApplication app, string path, IdentityAgent agent, Log log) =>
        (this.app, this.path, this.agent, this.log) = (app, path, agent, log);

    /// <summary>Listens and serves; throws <see cref="IOException"/> or <see cref="SocketException"/> where the socket cannot be had.</summary>
    public static async Task<SdsServer> StartAsync(string path, IdentityAgent agent, Log log)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "mesh-sds" });
        builder.Services.AddRoutingCore();
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            GrpcKestrel.Configure(kestrel);
            kestrel.Limits.MaxConcurrentConnections = MostStreams;
            kestrel.ListenUnixSocket(path, listen => listen.Protocols = HttpProtocols.Http2);
        });
        builder.WebHost.UseSockets(sockets => sockets.CreateBoundListenSocket = Bind);
        var built = builder.Build();
        var server = new SdsServer(built, path, agent, log);
        built.MapGrpcDuplex(SecretMethods.StreamSecrets, server.ServeAsync, new GrpcServerOptions { MaxReceiveMessageSize = LargestRequest });
        built.MapGrpcUnknown();
        try
        {
            await built.StartAsync();
            return server;
        }
        catch
        {
            await built.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        // Streams last for ever: they are cut, not waited for.
        await app.StopAsync(new CancellationToken(canceled: true));
        await app.DisposeAsync();
        File.Delete(path);
    }

    private static Socket Bind(EndPoint endpoint) => UnixSocket.Bind(endpoint.ToString()!);

    private async Task ServeAsync(
        MessageReader<Envoy.Service.Discovery.V3.DiscoveryRequest> requests, MessageWriter<Envoy.Service.Discovery.V3.DiscoveryResponse> responses, ServerCallContext context)
    {
        try
        {
            if (Interlocked.Increment(ref streams) > MostStreams)
                throw new GrpcException(GrpcStatusCode.ResourceExhausted, $"{MostStreams} streams are open already");
            await new SdsStream(agent, responses, log).RunAsync(requests, context.Cancellation);
        }
        finally
        {
            Interlocked.Decrement(ref streams);
        }
    }
}
