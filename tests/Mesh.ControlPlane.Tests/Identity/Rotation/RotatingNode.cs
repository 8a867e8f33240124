using Envoy.Extensions.TransportSockets.Tls.V3;
using Mesh.Api.Grpc;
using Mesh.Api.Identity;
using Mesh.Api.Identity.Agent;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.Api.Xds;
using Mesh.ControlPlane.Tests.Xds;
using Mesh.ControlPlane.Xds;

namespace Mesh.ControlPlane.Tests.Identity.Rotation;

/// <summary>A node as a sidecar is one: the real agent for its certificate, and a stream that tells it roots and who issues, each acknowledged.</summary>
internal sealed class RotatingNode : IAsyncDisposable
{
    private readonly CancellationTokenSource stop = new();
    private readonly IdentityAgent agent;
    private readonly Task running;
    private readonly GrpcChannel channel;
    private readonly Envoy.Config.Core.V3.Node node;
    private readonly TaskCompletionSource introduced = new();

    private RotatingNode(IdentityAgent agent, Task running, string address, string account, bool acknowledges)
    {
        (this.agent, this.running) = (agent, running);
        channel = new GrpcChannel("https://" + address, new GrpcChannelOptions { Tls = agent.ControlPlaneTls });
        node = AdsClient.SidecarNode($"sidecar~127.0.0.1~{account}-1~shop");
        node.Cluster = account;
        node.Metadata.Fields["mesh"].StructValue.Fields["namespace"] = Google.Protobuf.WellKnownTypes.Value.ForString("shop");
        Following = FollowAsync(acknowledges);
    }

    public Credentials Credentials => agent.Current!;

    public Task Following { get; }

    /// <summary>Joins and opens its stream; the address of another control plane may be given for the stream.</summary>
    public static async Task<RotatingNode> JoinAsync(IdentityTestbed mesh, string account, bool acknowledges = true, string? streamTo = null)
    {
        var options = new IdentityAgentOptions { ControlPlane = mesh.MeshApi, JoinToken = await mesh.TokenAsync($"ns/shop/sa/{account}") };
        var joining = new IdentityAgent(options, Log.Silent, TimeProvider.System, new Random(1));
        var end = new CancellationTokenSource();
        var loop = joining.RunAsync(end.Token);
        await joining.CertifiedAsync(CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(30));
        var made = new RotatingNode(joining, loop, streamTo ?? mesh.MeshApi, account, acknowledges);
        made.stop.Token.Register(end.Cancel);
        await await Task.WhenAny(made.introduced.Task, made.Following).WaitAsync(TimeSpan.FromSeconds(30));
        return made;
    }

    /// <summary>Whether this node would take the other one for who it is.</summary>
    public SvidVerdict Judge(RotatingNode other) =>
        new SvidVerifier(TimeProvider.System).Verify(other.Credentials.Svid.Certificate, other.Credentials.Svid.Chain, Credentials.Bundle);

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        channel.Dispose();
        await running;
        await Following.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        stop.Dispose();
    }

    // A stream that ends is opened again, as sidecars do: it ends when the root is dropped under which its connection was made.
    private async Task FollowAsync(bool acknowledges)
    {
        while (true)
        {
            await using var ads = new AdsClient(channel, node: node);
            try
            {
                await FollowAsync(ads, acknowledges).WaitAsync(stop.Token);
            }
            catch (GrpcException) when (introduced.Task.IsCompleted && !stop.IsCancellationRequested)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(50), stop.Token);
            }
        }
    }

    private async Task FollowAsync(AdsClient ads, bool acknowledges)
    {
        await ads.AskAsync(ResourceKind.Secrets, "ROOTCA");
        await ads.AskAsync(ResourceKind.Revocations, TypeUrls.RevocationsName);
        while (true)
        {
            var response = await ads.ReadAsync();
            if (response.TypeUrl == TypeUrls.Secret)
            {
                var pem = response.Resources[0].Unpack<Secret>().ValidationContext.TrustedCa.InlineString;
                if (acknowledges || !introduced.Task.IsCompleted)
                {
                    agent.UpdateBundle(TrustBundle.FromPem("cluster.local", pem));
                    await ads.AckAsync(response, "ROOTCA");
                }

                introduced.TrySetResult();
            }
            else
            {
                if (acknowledges) agent.RenewUnder(response.Resources[0].Unpack<IdentityRevocations>().IssuingRoot);
                await ads.AckAsync(response, TypeUrls.RevocationsName);
            }
        }
    }
}
