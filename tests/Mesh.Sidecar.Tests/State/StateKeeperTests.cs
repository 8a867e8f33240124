using System.Collections.Concurrent;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.Sidecar.State;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.State;

/// <summary>When it is written: soon, not often, and whatever becomes of the disk.</summary>
public sealed class StateKeeperTests : IAsyncDisposable
{
    private readonly TemporaryFolder outer = new();
    private readonly ManualTimeProvider time = new();
    private readonly CancellationTokenSource stop = new();
    private readonly LogLines lines = new();
    private readonly ConcurrentQueue<DateTimeOffset> taken = new();
    private readonly StateKeeper keeper;
    private readonly Task running;
    private volatile int number;
    private volatile bool connected;

    public StateKeeperTests()
    {
        keeper = new StateKeeper(new StateFolder(outer["state"], time), changed => changed || connected ? Numbered() : null, time, Log.To(lines, Level.Info, time));
        running = keeper.RunAsync(stop.Token);
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await running;
        stop.Dispose();
        outer.Dispose();
    }

    [Fact]
    public async Task ManyChangesAreOneWriteAndTheNextWaits()
    {
        var begun = time.GetUtcNow();
        for (number = 1; number <= 100; number++) keeper.Signal();
        await PassUntilAsync(() => keeper.Written == 1);
        Assert.True(taken.Single() - begun >= StateKeeper.Quiet);
        Assert.Equal("101", Read());
        number = 200;
        keeper.Signal();
        await PassUntilAsync(() => keeper.Written == 2);
        var times = taken.ToArray();
        Assert.True(times[1] - times[0] >= StateKeeper.Spacing);
        Assert.Equal("200", Read());
    }

    [Fact]
    public async Task WhileNothingChangesItIsWrittenOnlyWhenAControlPlaneStandsBehindIt()
    {
        var begun = time.GetUtcNow();
        await PassUntilAsync(() => time.GetUtcNow() - begun > (StateKeeper.Refresh + StateKeeper.Spacing) * 2);
        Assert.Equal(0, keeper.Written);
        connected = true;
        begun = time.GetUtcNow();
        await PassUntilAsync(() => keeper.Written == 1);
        Assert.True(time.GetUtcNow() - begun <= (StateKeeper.Refresh + StateKeeper.Spacing) * 2);
    }

    [Fact]
    public async Task TheLastChangeIsKeptAtTheEnd()
    {
        number = 7;
        keeper.Signal();
        await stop.CancelAsync();
        await running;
        Assert.Equal("7", Read());
    }

    [Fact]
    public async Task ADiskThatRefusesIsSaidOnceAndTriedAgain()
    {
        await File.WriteAllTextAsync(outer["state"], "in the way");
        for (var i = 1; i <= 3; i++)
        {
            keeper.Signal();
            await PassUntilAsync(() => keeper.Failures == i);
        }

        Assert.Equal(1, lines.Count("cannot be kept"));
        File.Delete(outer["state"]);
        connected = true;
        await PassUntilAsync(() => keeper.Written == 1);
        Assert.Equal(1, lines.Count("is kept again"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task WhatADiskRefusedIsKeptWithoutAControlPlaneToo(bool atTheEnd)
    {
        await File.WriteAllTextAsync(outer["state"], "in the way");
        number = 3;
        keeper.Signal();
        await PassUntilAsync(() => keeper.Failures == 1);
        File.Delete(outer["state"]);
        if (atTheEnd) await stop.CancelAsync();
        await PassUntilAsync(() => keeper.Written == 1);
        Assert.Equal("3", Read());
    }

    private async Task PassUntilAsync(Func<bool> condition) => await Eventually.TrueAsync(() =>
    {
        if (condition()) return true;
        if (time.ActiveTimers > 0) time.Advance(TimeSpan.FromSeconds(1));
        return false;
    });

    private KeptConfiguration Numbered()
    {
        taken.Enqueue(time.GetUtcNow());
        var kept = Given.Kept();
        kept.Identity = $"{number}";
        return kept;
    }

    private string Read() => StateFile.Read(File.ReadAllBytes(outer["state/configuration"])).Identity;
}
