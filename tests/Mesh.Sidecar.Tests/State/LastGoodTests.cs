using System.Net;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.State;
using Mesh.Sidecar.Telemetry;
using Mesh.Sidecar.Xds;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.State;

/// <summary>What is kept of a running sidecar, and how old that says it is: no older and no younger than the word of a control plane.</summary>
public sealed class LastGoodTests : IAsyncDisposable
{
    private readonly TemporaryFolder outer = new();
    private readonly ManualTimeProvider time = new();
    private readonly CancellationTokenSource stop = new();
    private readonly AdsStatus ads = new();
    private readonly Snapshots snapshots = new();
    private readonly SnapshotPublisher publisher;
    private readonly DestinationVerdicts verdicts;
    private readonly List<Task> loops = [];
    private volatile string? identity = Given.Web;

    public LastGoodTests()
    {
        publisher = new SnapshotPublisher(snapshots, time);
        verdicts = new DestinationVerdicts((_, _) => Task.FromResult(new DestinationAnswer { Verdict = DestinationAnswer.Types.Verdict.NotMeshed }), time);
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await Task.WhenAll(loops);
        stop.Dispose();
        outer.Dispose();
    }

    [Fact]
    public async Task WhatAControlPlaneStandsBehindIsOfNow()
    {
        Run();
        ads.SetConfirms(true);
        publisher.Publish(Set());
        await PassUntilAsync(() => Kept is not null);
        Assert.Equal((Given.Web, Given.Node.Id), (Kept!.Identity, Kept.Node.Id));
        Assert.InRange(time.GetUtcNow() - ConfirmedAt, TimeSpan.Zero, TimeSpan.FromMinutes(1));
        Assert.Equal(["a"], KeptResources.Restore(Kept, AdsClient.Wanted(captures: false, resolves: false)).Clusters!.Keys);

        // Nothing changes, and it is confirmed anew all the same.
        var first = ConfirmedAt;
        await PassUntilAsync(() => ConfirmedAt > first);
        Assert.InRange(ConfirmedAt - first, StateKeeper.Spacing, StateKeeper.Refresh * 2);
    }

    [Fact]
    public async Task NewsWithoutAControlPlaneMakeItNoYounger()
    {
        Run();
        var heard = time.GetUtcNow();
        ads.Confirm(heard);
        publisher.Publish(Set());
        await PassUntilAsync(() => Kept is not null);
        Assert.Equal(heard, ConfirmedAt);
        Assert.Empty(Kept!.Destinations);

        // Hours later an answer about a destination comes: it is kept, and the rest is as old as it was.
        await PassAsync(TimeSpan.FromHours(3));
        var answered = await AskAsync("10.0.0.1");
        Assert.Null(answered.Refusal);
        await PassUntilAsync(() => Kept!.Destinations.Count == 1);
        Assert.Equal(heard, ConfirmedAt);

        // Time alone writes nothing.
        var written = File.GetLastWriteTimeUtc(outer["state/configuration"]);
        await PassAsync(StateKeeper.Refresh * 3);
        Assert.Equal(written, File.GetLastWriteTimeUtc(outer["state/configuration"]));
    }

    [Fact]
    public async Task WhatWasKeptBeforeStaysAsOldAsItIs()
    {
        var before = time.GetUtcNow() - TimeSpan.FromHours(5);
        var kept = Given.Kept();
        kept.Confirmed = Timestamp.FromDateTimeOffset(before);
        new StateFolder(outer["state"], time).Write(kept);
        var lastGood = Run();
        lastGood.GiveBack(verdicts);
        publisher.Publish(Set());
        await PassUntilAsync(() => Kept!.Resources.All(resources => resources.VersionInfo != "l1"));
        Assert.Equal(before, ConfirmedAt);
        Assert.Contains(before.ToString("u"), lastGood.Note, StringComparison.Ordinal);
        Assert.Single(Kept!.Destinations); // Given back, and kept again.
        ads.SetFresh();
        Assert.Equal("", lastGood.Note);
    }

    [Fact]
    public async Task WhatNobodyStoodBehindIsNotKept()
    {
        Run();
        publisher.Publish(Set());
        await PassAsync(TimeSpan.FromMinutes(30));
        Assert.Null(Kept);
    }

    [Theory]
    [InlineData("nothing serves")]
    [InlineData("no certificate")]
    public async Task WithoutConfigurationOrCertificateNothingIsKept(string lacking)
    {
        if (lacking == "no certificate") identity = null;
        Run();
        ads.SetConfirms(true);
        if (lacking == "no certificate") publisher.Publish(Set());
        else await AskAsync("10.0.0.1");
        await PassAsync(TimeSpan.FromMinutes(30));
        Assert.Null(Kept);
        identity = Given.Web;
        publisher.Publish(Set());
        await PassUntilAsync(() => Kept is not null);
    }

    [Fact]
    public async Task AFolderOfAnotherThatRunsIsLeftAloneUntilThatHasEnded()
    {
        Directory.CreateDirectory(outer["state"], UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var other = new StateLock(outer["state"]);
        Assert.True(other.TryTake());
        Run();
        ads.SetConfirms(true);
        publisher.Publish(Set());
        await PassAsync(TimeSpan.FromMinutes(30));
        Assert.Null(Kept);
        other.Dispose();
        await PassUntilAsync(() => Kept is not null);
    }

    private KeptConfiguration? Kept => File.Exists(outer["state/configuration"]) ? StateFile.Read(File.ReadAllBytes(outer["state/configuration"])) : null;

    private DateTimeOffset ConfirmedAt => Kept!.Confirmed.ToDateTimeOffset();

    private LastGood Run()
    {
        var lastGood = new LastGood(outer["state"], time, new SidecarMetrics(), Log.Silent);
        loops.Add(lastGood.RunAsync(new KeptSources(Given.Node, () => identity, publisher, snapshots, ads, verdicts), stop.Token));
        return lastGood;
    }

    /// <summary>A set that is another one than that of before.</summary>
    private static ResourceSet Set()
    {
        var given = Given.Kept();
        foreach (var resources in given.Resources.Where(resources => resources.TypeUrl == TypeUrls.Listener)) resources.VersionInfo = "l2";
        return KeptResources.Restore(given, AdsClient.Wanted(captures: false, resolves: false));
    }

    private async Task<Verdict> AskAsync(string address)
    {
        var ranges = new Mesh.Api.V1.MeshRanges { Ranges = { new Mesh.Api.V1.MeshRanges.Types.Range { Address = Google.Protobuf.ByteString.CopyFrom(10, 0, 0, 0), Prefix = 8, Kind = Mesh.Api.V1.MeshRanges.Types.Kind.Pod } } };
        var kept = Given.Kept();
        kept.Resources.Add(Given.Of(TypeUrls.MeshRanges, "r1", ranges));
        var snapshot = new Mesh.Sidecar.Config.Builders.Linker().Link(KeptResources.Restore(kept, AdsClient.Wanted(captures: true, resolves: false)));
        return await verdicts.OfAsync(snapshot, new IPEndPoint(IPAddress.Parse(address), 81));
    }

    /// <summary>Lets time pass while loops wait for it.</summary>
    private async Task PassAsync(TimeSpan span)
    {
        var end = time.GetUtcNow() + span;
        await PassUntilAsync(() => time.GetUtcNow() >= end);
    }

    private async Task PassUntilAsync(Func<bool> condition) => await Eventually.TrueAsync(() =>
    {
        if (condition()) return true;
        if (time.ActiveTimers > 0) time.Advance(TimeSpan.FromSeconds(1) + (StateKeeper.Refresh / 20));
        return false;
    });
}
