using System.Runtime.CompilerServices;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Http.Upstream;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>Upstream connections that wait for a request: they have an owner and an end, also when nothing leads to them any more.</summary>
public sealed class IdleConnectionsTests
{
    private static readonly TimeSpan PastTheBound = Http1Pool.IdleBound + TimeSpan.FromSeconds(20);
    private readonly ManualTimeProvider time = new();

    [Fact]
    public async Task ThoseOfARemovedEndpointAreClosed()
    {
        await using var origin = Attentive();
        await using var bed = await StartAsync(origin);
        const int Endpoints = 20;
        for (var i = 0; i < Endpoints; i++)
        {
            PublishWith(bed, origin);
            await AskOnceAsync(bed, "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n");
        }

        Assert.Equal(Endpoints, bed.Sink.Own.UpstreamOpen.Value);
        PublishWith(bed, null);
        await EndAsync(bed, origin);
    }

    [Fact]
    public async Task ThoseOfForeignHostsAreClosed()
    {
        await using var origin = Attentive();
        await using var bed = await Bed.StartAsync(address => Bed.Snap(Bed.HttpListener(address, Bed.Table(Foreign()))), time);
        const int Hosts = 20;
        for (var i = 0; i < Hosts; i++)
            await AskOnceAsync(bed, $"GET http://127.1.0.{i}:{origin.Address.Port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        Assert.Equal(Hosts, bed.Sink.Own.UpstreamOpen.Value);
        PublishWith(bed, null);
        await EndAsync(bed, origin);
    }

    [Fact]
    public async Task OnlySoManyForeignHostsAreRememberedAndThoseUsedLatelyAreKept()
    {
        await using var origin = Attentive();
        var foreign = Foreign();
        await using var bed = await Bed.StartAsync(address => Bed.Snap(Bed.HttpListener(address, Bed.Table(foreign))), time);
        using var client = await bed.ConnectAsync();
        for (var i = 0; i < 1100; i++)
        {
            await client.SendAsync($"GET http://127.1.{i / 250}.{i % 250}:{origin.Address.Port}/ HTTP/1.1\r\nHost: x\r\n\r\n");
            Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
        }

        client.Dispose();
        // Beyond the bound nothing is kept at all.
        await Eventually.TrueAsync(() => bed.Sink.Own.UpstreamOpen.Value == 1000, () => $"{bed.Sink.Own.UpstreamOpen.Value} are open");
        time.Advance(PastTheBound);
        await Eventually.TrueAsync(() => bed.Sink.Own.UpstreamOpen.Value == 0);
        var before = origin.Connections.Count;
        // Places of hosts nobody asked for lately are free again: this one's connection is used twice.
        for (var i = 0; i < 2; i++)
            await AskOnceAsync(bed, $"GET http://127.2.0.1:{origin.Address.Port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        Assert.Equal(before + 1, origin.Connections.Count);
    }

    [Fact]
    public async Task ABurstLeavesABoundedNumber()
    {
        var release = new TaskCompletionSource();
        await using var origin = new RecordingOrigin(async c =>
        {
            while (await c.ReadRequestAsync() is not null)
            {
                await release.Task;
                await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        await using var bed = await StartAsync(origin);
        var asked = Enumerable.Range(0, Http1Pool.MostIdle + 100).Select(_ => bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")).ToArray();
        await Eventually.TrueAsync(() => origin.Connections.Count == asked.Length);
        release.SetResult();
        Assert.All(await Task.WhenAll(asked), a => Assert.Equal(200, a!.Status));
        await Eventually.TrueAsync(() => bed.Sink.Own.RequestsActive.Value == 0);
        await Eventually.TrueAsync(() => bed.Sink.Own.UpstreamOpen.Value == Http1Pool.MostIdle, () => $"{bed.Sink.Own.UpstreamOpen.Value} are open");
    }

    /// <summary>A snapshot whose cluster is a new one, with a new endpoint or none.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void PublishWith(Bed bed, RecordingOrigin? origin) =>
        bed.Snapshots.Publish(Bed.Snap(Bed.HttpListener(bed.Port, Bed.Table(origin is null ? Bed.Cluster() : Bed.Cluster(origin.Address)))));

    private Task<Bed> StartAsync(RecordingOrigin origin) =>
        Bed.StartAsync(address => Bed.Snap(Bed.HttpListener(address, Bed.Table(Bed.Cluster(origin.Address)))), time);

    /// <summary>Nothing but the pool's owner may know the connections now; after the idle bound they are closed, and counted as that.</summary>
    private async Task EndAsync(Bed bed, RecordingOrigin origin)
    {
        for (var i = 0; i < 3; i++)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true);
            GC.WaitForPendingFinalizers();
        }

        time.Advance(PastTheBound);
        Assert.Equal(0, bed.Sink.Own.UpstreamOpen.Value);
        await Eventually.TrueAsync(() => origin.Connections.All(c => c.Ended));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task AskOnceAsync(Bed bed, string request)
    {
        Assert.Equal(200, (await bed.AskAsync(request))!.Status);
        await Eventually.TrueAsync(() => bed.Sink.Own.RequestsActive.Value == 0 && bed.Sink.Own.DownstreamOpen.Value == 0);
    }

    private static Cluster Foreign() => new()
    {
        Name = "PassthroughCluster",
        Kind = ClusterKind.Passthrough,
        Policy = LbPolicy.RoundRobin,
        Endpoints = [],
        Service = ServiceLabels.None,
        State = new ClusterState(),
    };

    /// <summary>Reads on while a connection is idle, so that it knows when it ends. Listens on all of 127/8.</summary>
    private static RecordingOrigin Attentive() => new(async c =>
    {
        while (await c.ReadRequestAsync() is not null) await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }, everywhere: true);
}
