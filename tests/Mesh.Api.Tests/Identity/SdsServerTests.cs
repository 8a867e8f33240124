using System.Net.Sockets;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Envoy.Service.Discovery.V3;
using Google.Rpc;
using Mesh.Api.Grpc;
using Mesh.Api.Identity;
using Mesh.Api.Identity.Agent;
using Mesh.Api.Logging;
using Mesh.Api.Xds;
using Mesh.Tests;

namespace Mesh.Api.Tests.Identity;

/// <summary>Secrets over a unix socket: to its owner alone, at each change, to several clients, and nothing that was not asked for.</summary>
public sealed class SdsServerTests : IAsyncLifetime
{
    private readonly ManualTimeProvider time = new();
    private readonly TemporaryFolder folder = new();
    private readonly LogLines lines = new();
    private readonly CancellationTokenSource bound = new(TimeSpan.FromSeconds(60));
    private SmallAuthority authority = null!;
    private RunningAgent agent = null!;
    private SdsServer server = null!;

    private string Address => folder["sds.sock"];

    public async Task InitializeAsync()
    {
        authority = await SmallAuthority.StartAsync(time);
        agent = new RunningAgent(new() { ControlPlane = authority.Address, JoinToken = authority.Token() }, time);
        await agent.CertifiedAsync();
        server = await SdsServer.StartAsync(Address, agent.Agent, Log.To(lines, Level.Debug, time));
    }

    public async Task DisposeAsync()
    {
        await server.DisposeAsync();
        await agent.DisposeAsync();
        await authority.DisposeAsync();
        folder.Dispose();
        bound.Dispose();
    }

    [Fact]
    public void The_socket_is_its_owners_alone() =>
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Address));

    [Fact]
    public async Task A_client_gets_the_certificate_with_its_key_and_the_roots()
    {
        await using var client = new Client(Address, bound.Token);
        await client.AskAsync("default", "ROOTCA");
        var (response, secrets) = await client.NextAsync();
        Assert.Equal(TypeUrls.Secret, response.TypeUrl);
        var own = secrets["default"].TlsCertificate;
        using var svid = Svid.FromPem(own.CertificateChain.InlineBytes.ToStringUtf8(), own.PrivateKey.InlineBytes.ToStringUtf8());
        Assert.Equal(agent.Agent.Current!.Svid.Certificate.SerialNumber, svid.Certificate.SerialNumber);
        Assert.Single(svid.Chain);
        Assert.Equal(authority.Bundle.ToPem(), secrets["ROOTCA"].ValidationContext.TrustedCa.InlineBytes.ToStringUtf8());
    }

    [Fact]
    public async Task Each_change_is_pushed_to_every_client_and_an_ack_brings_nothing()
    {
        await using var one = new Client(Address, bound.Token);
        await using var two = new Client(Address, bound.Token);
        await one.AskAsync("default");
        await two.AskAsync("ROOTCA");
        var (first, _) = await one.NextAsync();
        await one.AckAsync(first, "default");
        var (roots, _) = await two.NextAsync();
        await two.AckAsync(roots, "ROOTCA");
        agent.Agent.RenewSoon();
        await Eventually.TrueAsync(() => agent.Changes == 2);
        var (second, secrets) = await one.NextAsync();
        Assert.NotEqual(first.Nonce, second.Nonce);
        Assert.NotEqual(first.VersionInfo, second.VersionInfo);
        Assert.Equal(agent.Agent.Current!.Svid.ChainPem(), secrets["default"].TlsCertificate.CertificateChain.InlineBytes.ToStringUtf8());
        agent.Agent.UpdateBundle(new("cluster.local", [authority.Root.Certificate, authority.Forge.Root("next").Certificate]));
        var both = agent.Agent.Current!.Bundle.ToPem();
        Assert.Equal(both, (await two.UntilAsync(s => s["ROOTCA"].ValidationContext.TrustedCa.InlineBytes.ToStringUtf8() == both))["ROOTCA"].ValidationContext.TrustedCa.InlineBytes.ToStringUtf8());
    }

    [Fact]
    public async Task Who_comes_before_the_first_certificate_waits_for_it()
    {
        authority.Answer = _ => throw new GrpcException(GrpcStatusCode.Unavailable, "down");
        await using var young = new RunningAgent(new() { ControlPlane = authority.Address, JoinToken = authority.Token() }, time);
        await young.SaysAsync("no certificate yet");
        await using var early = await SdsServer.StartAsync(folder["early.sock"], young.Agent, Log.Silent);
        await using var client = new Client(folder["early.sock"], bound.Token);
        await client.AskAsync("default");
        var waiting = client.NextAsync();
        authority.Answer = authority.DefaultAnswer;
        await Eventually.TrueAsync(() => time.ActiveTimers > 1);
        Assert.False(waiting.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Contains("default", (await waiting).Secrets.Keys);
    }

    [Fact]
    public async Task What_is_asked_for_later_is_sent_too_and_what_is_no_longer_is_not()
    {
        await using var client = new Client(Address, bound.Token);
        await client.AskAsync("ROOTCA");
        var (first, roots) = await client.NextAsync();
        Assert.Equal(["ROOTCA"], roots.Keys);
        await client.AckAsync(first, "default");
        Assert.Equal(["default"], (await client.NextAsync()).Secrets.Keys);
    }

    [Theory]
    [InlineData("", "kubernetes://other", GrpcStatusCode.NotFound, "no secret 'kubernetes://other'")]
    [InlineData("type.googleapis.com/envoy.config.cluster.v3.Cluster", "default", GrpcStatusCode.InvalidArgument, "secrets only")]
    public async Task What_is_not_there_is_refused_with_words(string type, string name, GrpcStatusCode code, string words)
    {
        await using var client = new Client(Address, bound.Token);
        await client.SendAsync(new DiscoveryRequest { TypeUrl = type, ResourceNames = { name } });
        var refused = await Assert.ThrowsAsync<GrpcException>(client.NextAsync);
        Assert.Equal(code, refused.Code);
        Assert.Contains(words, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_client_that_names_no_secret_gets_none()
    {
        await using var client = new Client(Address, bound.Token);
        await client.SendAsync(new DiscoveryRequest { TypeUrl = TypeUrls.Secret });
        var answer = client.NextAsync();
        agent.Agent.RenewSoon();
        await Eventually.TrueAsync(() => agent.Changes == 2);
        await client.AskAsync("ROOTCA");
        Assert.Equal(["ROOTCA"], (await answer).Secrets.Keys);
    }

    [Fact]
    public async Task A_refusal_is_logged_and_the_same_is_not_sent_again()
    {
        await using var client = new Client(Address, bound.Token);
        await client.AskAsync("default");
        var (first, _) = await client.NextAsync();
        await client.SendAsync(new DiscoveryRequest
        {
            ResourceNames = { "default" },
            ResponseNonce = first.Nonce,
            ErrorDetail = new Status { Code = 3, Message = "unusable\nkey" },
        });
        await Eventually.TrueAsync(() => lines.Has("unusable\\nkey"));
        agent.Agent.RenewSoon();
        Assert.NotEqual(first.VersionInfo, (await client.NextAsync()).Response.VersionInfo);
        Assert.DoesNotContain("PRIVATE", lines.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Streams_have_a_bound()
    {
        var clients = new List<Client>();
        try
        {
            for (var i = 0; i < SdsServer.MostStreams; i++)
            {
                if (i % 64 == 0) clients.Add(new Client(Address, bound.Token));
                else clients.Add(clients[^1].Another());
                await clients[^1].AskAsync("ROOTCA");
                await clients[^1].NextAsync();
            }

            await using var tooMany = clients[0].Another();
            // The server may refuse before or after the question.
            var refused = await Assert.ThrowsAsync<GrpcException>(async () =>
            {
                await tooMany.AskAsync("ROOTCA");
                await tooMany.NextAsync();
            });
            Assert.Equal(GrpcStatusCode.ResourceExhausted, refused.Code);
            await clients[^1].DisposeAsync();
            clients.RemoveAt(clients.Count - 1);
            await Eventually.PassesAsync(async () =>
            {
                await using var next = clients[0].Another();
                await next.AskAsync("ROOTCA");
                await next.NextAsync();
            });
        }
        finally
        {
            foreach (var client in clients.AsEnumerable().Reverse()) await client.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_socket_in_use_is_not_taken_and_one_left_behind_is()
    {
        await Assert.ThrowsAnyAsync<Exception>(() => SdsServer.StartAsync(Address, agent.Agent, Log.Silent));
        await using var client = new Client(Address, bound.Token);
        await client.AskAsync("ROOTCA");
        await client.NextAsync();
        using (var left = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)) left.Bind(new UnixDomainSocketEndPoint(folder["left.sock"]));
        await using var taken = await SdsServer.StartAsync(folder["left.sock"], agent.Agent, Log.Silent);
        Assert.True(File.Exists(folder["left.sock"]));
    }

    [Fact]
    public async Task Its_end_ends_the_streams_and_removes_the_socket()
    {
        var other = await SdsServer.StartAsync(folder["other.sock"], agent.Agent, Log.Silent);
        await using var client = new Client(folder["other.sock"], bound.Token);
        await client.AskAsync("ROOTCA");
        await client.NextAsync();
        var next = client.NextAsync();
        await other.DisposeAsync().AsTask().WaitAsync(bound.Token);
        await Assert.ThrowsAsync<GrpcException>(() => next);
        Assert.False(File.Exists(folder["other.sock"]));
    }

    /// <summary>One stream of an SDS client.</summary>
    private sealed class Client : IAsyncDisposable
    {
        private readonly GrpcChannel channel;
        private readonly CancellationToken cancellation;
        private readonly bool owner;
        private readonly GrpcCall<DiscoveryRequest, DiscoveryResponse> call;

        public Client(string path, CancellationToken cancellation)
            : this(new GrpcChannel("unix:" + path), cancellation, owner: true)
        {
        }

        private Client(GrpcChannel channel, CancellationToken cancellation, bool owner)
        {
            (this.channel, this.cancellation, this.owner) = (channel, cancellation, owner);
            call = channel.Open(SecretMethods.StreamSecrets, default, cancellation);
        }

        public Client Another() => new(channel, cancellation, owner: false);

        public Task SendAsync(DiscoveryRequest request) => call.WriteAsync(request, cancellation);

        public Task AskAsync(params string[] names) => SendAsync(new DiscoveryRequest { TypeUrl = TypeUrls.Secret, ResourceNames = { names } });

        public Task AckAsync(DiscoveryResponse response, params string[] names) => SendAsync(new DiscoveryRequest
        {
            TypeUrl = TypeUrls.Secret,
            ResourceNames = { names },
            ResponseNonce = response.Nonce,
            VersionInfo = response.VersionInfo,
        });

        public async Task<(DiscoveryResponse Response, Dictionary<string, Secret> Secrets)> NextAsync()
        {
            var response = await call.ReadAsync(cancellation) ?? throw new InvalidOperationException("the stream ended");
            return (response, response.Resources.Select(Packing.Unpack<Secret>).ToDictionary(s => s.Name, StringComparer.Ordinal));
        }

        public async Task<Dictionary<string, Secret>> UntilAsync(Func<Dictionary<string, Secret>, bool> holds)
        {
            while (true)
            {
                var (_, secrets) = await NextAsync();
                if (holds(secrets)) return secrets;
            }
        }

        public async ValueTask DisposeAsync()
        {
            await call.DisposeAsync();
            if (owner) channel.Dispose();
        }
    }
}
