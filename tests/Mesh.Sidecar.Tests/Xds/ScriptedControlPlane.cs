using System.Net;
using System.Threading.Channels;
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;
using Mesh.Api.Xds;
using Mesh.Sidecar.Xds;
using Mesh.Tests;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Mesh.Sidecar.Tests.Xds;

/// <summary>A control plane on a real port that says what a test tells it, and shows what it was told.</summary>
internal sealed class ScriptedControlPlane : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly WebApplication app;
    private readonly Channel<ScriptedStream> streams = Channel.CreateUnbounded<ScriptedStream>();

    private ScriptedControlPlane(int port)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k =>
        {
            GrpcKestrel.Configure(k);
            k.Listen(IPAddress.Loopback, port, l => l.Protocols = HttpProtocols.Http2);
        });
        app = builder.Build();
        app.MapGrpcDuplex(AdsMethods.Stream, async (requests, responses, context) =>
        {
            var stream = new ScriptedStream(responses);
            streams.Writer.TryWrite(stream);
            await stream.RunAsync(requests, context.Cancellation);
        });
    }

    public string Address => app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First().Replace("http://", "", StringComparison.Ordinal);

    // Its port is never anybody else's: clients call it when it is gone, and must not get through to another test.
    public static async Task<ScriptedControlPlane> StartAsync(int? port = null)
    {
        var plane = new ScriptedControlPlane(port ?? FreePorts.One());
        await plane.app.StartAsync();
        return plane;
    }

    public async Task<ScriptedStream> NextStreamAsync() => await streams.Reader.ReadAsync().AsTask().WaitAsync(Patience);

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource(TimeSpan.FromMilliseconds(1));
        await app.StopAsync(now.Token);
        await app.DisposeAsync();
    }

    /// <summary>One stream of a client.</summary>
    internal sealed class ScriptedStream(MessageWriter<DiscoveryResponse> responses)
    {
        private readonly Channel<DiscoveryRequest> requests = Channel.CreateUnbounded<DiscoveryRequest>();
        private readonly TaskCompletionSource end = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int nonce;

        public async Task RunAsync(MessageReader<DiscoveryRequest> reader, CancellationToken cancel)
        {
            var reading = ReadAsync(reader, cancel);
            await Task.WhenAny(reading, end.Task);
        }

        /// <summary>The next request, which must be of this type. That every secured stream asks where workloads are is no test's concern but its own.</summary>
        public async Task<DiscoveryRequest> RequestAsync(string type)
        {
            var request = await requests.Reader.ReadAsync().AsTask().WaitAsync(Patience);
            if (request.TypeUrl == TypeUrls.MeshRanges && type != TypeUrls.MeshRanges) request = await requests.Reader.ReadAsync().AsTask().WaitAsync(Patience);
            Assert.Equal(type, request.TypeUrl);
            return request;
        }

        public Task SendAsync(string type, string version, params IMessage[] resources) =>
            SendRawAsync(type, version, resources.Select(r => r as Any ?? Packing.Pack(r)).ToArray());

        public Task SendRawAsync(string type, string version, params Any[] resources) => responses.WriteAsync(
            new DiscoveryResponse { TypeUrl = type, VersionInfo = version, Nonce = $"n{++nonce}", Resources = { resources } }, CancellationToken.None);

        /// <summary>Ends the stream from the server's side.</summary>
        public void End() => end.TrySetResult();

        private async Task ReadAsync(MessageReader<DiscoveryRequest> reader, CancellationToken cancel)
        {
            try
            {
                while (await reader.ReadAsync(cancel) is { } request) requests.Writer.TryWrite(request);
            }
            catch (Exception e) when (e is IOException or OperationCanceledException or GrpcException)
            {
                // The client is gone: the test sees the end of the requests.
            }

            requests.Writer.TryComplete();
        }
    }
}
