using Envoy.Config.Core.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Google.Protobuf;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Sidecar.Xds;

namespace Mesh.Sidecar.Tests.Xds;

/// <summary>Roots and revocations on the ADS stream: asked for first, in force at once, and refused whole when anything of them is odd.</summary>
public sealed class TrustTests : IAsyncDisposable
{
    private readonly Snapshots snapshots = new();
    private readonly List<MeshTrust> told = [];
    private readonly CancellationTokenSource stop = new();
    private readonly Authority authority = new();
    private GrpcChannel? channel;
    private Task running = Task.CompletedTask;

    public TrustTests() => snapshots.TrustChanged += trust =>
    {
        lock (told) told.Add(trust);
    };

    [Fact]
    public async Task TheyHoldBeforeTheRestOfTheConfigurationHasCome()
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        var stream = await StartAsync(plane, secured: true);
        Assert.Equal([TypeUrls.RevocationsName], (await stream.RequestAsync(TypeUrls.IdentityRevocations)).ResourceNames);
        Assert.Equal(["ROOTCA"], (await stream.RequestAsync(TypeUrls.Secret)).ResourceNames);
        await stream.RequestAsync(TypeUrls.Cluster);
        await stream.RequestAsync(TypeUrls.Listener);

        await stream.SendAsync(TypeUrls.IdentityRevocations, "v1", new IdentityRevocations { Identities = { Authority.Web } });
        Assert.Null((await stream.RequestAsync(TypeUrls.IdentityRevocations)).ErrorDetail);
        Assert.Equal(Authority.Web, Assert.Single(Last().Revoked));
        await stream.SendAsync(TypeUrls.Secret, "s1", Roots(authority.RootPem));
        Assert.Equal("s1", (await stream.RequestAsync(TypeUrls.Secret)).VersionInfo);
        Assert.Single(Last().Roots);
        Assert.Equal(Authority.Web, Assert.Single(Last().Revoked));
        Assert.Equal(0, snapshots.Current.Number);

        // Taken back.
        await stream.SendAsync(TypeUrls.IdentityRevocations, "v2", new IdentityRevocations());
        await stream.RequestAsync(TypeUrls.IdentityRevocations);
        Assert.Empty(Last().Revoked);
        Assert.Single(Last().Roots);
    }

    [Fact]
    public async Task APlaintextStreamDoesNotAskForThem()
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        var stream = await StartAsync(plane, secured: false);
        await stream.RequestAsync(TypeUrls.Cluster);
        await stream.RequestAsync(TypeUrls.Listener);
    }

    public static TheoryData<string, string> Odd() => new()
    {
        { "key", "keys and certificates are not taken" },
        { "name", "only \"ROOTCA\" is taken" },
        { "empty", "no certificate" },
        { "leaf", "is no root" },
        { "file", "inline_string or inline_bytes" },
        { "unknown", "does not know" },
    };

    [Theory]
    [MemberData(nameof(Odd))]
    public async Task WhatIsOddAboutRootsIsRefusedAndTheLastGoodOnesStay(string what, string error)
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        var stream = await StartAsync(plane, secured: true);
        foreach (var type in new[] { TypeUrls.IdentityRevocations, TypeUrls.Secret, TypeUrls.Cluster, TypeUrls.Listener }) await stream.RequestAsync(type);
        await stream.SendAsync(TypeUrls.Secret, "s1", Roots(authority.RootPem));
        await stream.RequestAsync(TypeUrls.Secret);
        var leaf = authority.Leaf(Authority.Web);
        var odd = what switch
        {
            "key" => new Secret { Name = "ROOTCA", TlsCertificate = new TlsCertificate { PrivateKey = new DataSource { InlineString = leaf.KeyPem } } },
            "name" => new Secret { Name = "default", ValidationContext = Roots(authority.RootPem).ValidationContext },
            "empty" => Roots(""),
            "leaf" => Roots(leaf.Pem),
            "file" => new Secret { Name = "ROOTCA", ValidationContext = new CertificateValidationContext { TrustedCa = new DataSource { Filename = "/etc/ssl/ca.pem" } } },
            _ => Secret.Parser.ParseFrom([.. Roots(authority.RootPem).ToByteArray(), 0xa0, 0x3f, 0x01]),
        };
        await stream.SendAsync(TypeUrls.Secret, "s2", odd);
        var answer = await stream.RequestAsync(TypeUrls.Secret);
        Assert.Equal("s1", answer.VersionInfo);
        Assert.Contains(error, answer.ErrorDetail.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("PRIVATE KEY", answer.ErrorDetail.Message, StringComparison.Ordinal);
        Assert.Single(Last().Roots);
    }

    [Theory]
    [InlineData("spiffe://Cluster.local/x")]
    [InlineData("cart")]
    [InlineData("")]
    public async Task ARevocationOfWhatIsNoIdIsRefused(string id)
    {
        await using var plane = await ScriptedControlPlane.StartAsync();
        var stream = await StartAsync(plane, secured: true);
        foreach (var type in new[] { TypeUrls.IdentityRevocations, TypeUrls.Secret, TypeUrls.Cluster, TypeUrls.Listener }) await stream.RequestAsync(type);
        await stream.SendAsync(TypeUrls.IdentityRevocations, "v1", new IdentityRevocations { Identities = { id } });
        Assert.Contains("identities[0]", (await stream.RequestAsync(TypeUrls.IdentityRevocations)).ErrorDetail.Message, StringComparison.Ordinal);
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await running;
        channel?.Dispose();
        stop.Dispose();
    }

    private static Secret Roots(string pem) =>
        new() { Name = "ROOTCA", ValidationContext = new CertificateValidationContext { TrustedCa = new DataSource { InlineString = pem } } };

    private MeshTrust Last()
    {
        lock (told) return told[^1];
    }

    private async Task<ScriptedControlPlane.ScriptedStream> StartAsync(ScriptedControlPlane plane, bool secured)
    {
        channel = new GrpcChannel(plane.Address);
        var client = new AdsClient(
            channel, new Node { Id = "sidecar~test" }, new SnapshotPublisher(snapshots, TimeProvider.System), new AdsClock(TimeProvider.System, new Randomness(1)), Log.Silent)
        {
            IsSecured = secured,
        };
        running = client.RunAsync(stop.Token);
        return await plane.NextStreamAsync();
    }
}
