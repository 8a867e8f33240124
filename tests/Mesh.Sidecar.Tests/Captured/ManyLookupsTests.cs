using System.Net;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.V1;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Config.Builders;
using Mesh.Sidecar.Listening;
using Mesh.Tests;
using Proto = Mesh.Api.V1.MeshRanges;

namespace Mesh.Sidecar.Tests.Captured;

/// <summary>An application that calls thousands of unknown addresses at once, as a scanner or a crawler does: bounded, and everybody is answered.</summary>
public sealed class ManyLookupsTests
{
    private const int AtOnce = 100;
    private const int Waiting = 2000;
    private static readonly DestinationAnswer NotMeshed = new() { Verdict = DestinationAnswer.Types.Verdict.NotMeshed, ValidFor = Duration.FromTimeSpan(TimeSpan.FromMinutes(1)) };
    private readonly ManualTimeProvider time = new();
    private readonly Snapshot snapshot = Pods();
    private readonly TaskCompletionSource gate = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int asked;
    private int running;
    private int most;

    [Fact]
    public async Task AThousandAreAskedAHundredAtATimeAndAllAreAnswered()
    {
        var verdicts = Verdicts();
        var all = Ask(verdicts, 0, 1000);
        Assert.Equal((AtOnce, 0), (Volatile.Read(ref asked), all.Count(task => task.IsCompleted)));
        gate.SetResult();
        Assert.All(await Task.WhenAll(all), verdict => Assert.Null(verdict.Refusal));
        Assert.Equal((1000, AtOnce, 1000), (asked, most, verdicts.Count));
    }

    [Fact]
    public async Task WhileNobodyAnswersAllAreRefusedInTimeAndNothingIsLeftBehind()
    {
        var verdicts = Verdicts();
        var all = Ask(verdicts, 0, Waiting + 500);
        // More than may wait hear it at once.
        Assert.All(all[Waiting..], task => Assert.Contains("too many", task.Result.Refusal!.Text, StringComparison.Ordinal));
        Assert.DoesNotContain(all[..Waiting], task => task.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.All(await Task.WhenAll(all).WaitAsync(TimeSpan.FromSeconds(60)), verdict => Assert.Equal("unanswered", verdict.Refusal!.Reason));
        Assert.Equal(0, verdicts.Count);

        // Who was given up holds no turn: it answers again, and everybody is served.
        gate.SetResult();
        Assert.All(await Task.WhenAll(Ask(verdicts, 0, Waiting)), verdict => Assert.Null(verdict.Refusal));
        Assert.Equal((Waiting, AtOnce), (verdicts.Count, most));
    }

    [Fact]
    public async Task AnswersAreKeptForABoundedNumberOfDestinations()
    {
        gate.SetResult();
        var verdicts = Verdicts();
        for (var begin = 0; begin < 12_000; begin += 1000) await Task.WhenAll(Ask(verdicts, begin, 1000));
        Assert.InRange(verdicts.Count, 9_000, 10_000);
        // The newest are among them.
        var before = asked;
        await Task.WhenAll(Ask(verdicts, 11_000, 1000));
        Assert.Equal(before, asked);
    }

    private List<Task<Verdict>> Ask(DestinationVerdicts verdicts, int begin, int count) =>
        [.. Enumerable.Range(begin, count).Select(i => verdicts.OfAsync(snapshot, new IPEndPoint(new IPAddress([10, 1, (byte)(i >> 8), (byte)i]), 80)).AsTask())];

    private DestinationVerdicts Verdicts() => new(async (_, cancel) =>
    {
        Interlocked.Increment(ref asked);
        var now = Interlocked.Increment(ref running);
        for (var seen = Volatile.Read(ref most); now > seen; seen = Volatile.Read(ref most)) Interlocked.CompareExchange(ref most, now, seen);
        try
        {
            await gate.Task.WaitAsync(cancel);
        }
        finally
        {
            Interlocked.Decrement(ref running);
        }

        return NotMeshed;
    }, time);

    private static Snapshot Pods()
    {
        var proto = new Proto { Ranges = { new Proto.Types.Range { Address = ByteString.CopyFrom(10, 0, 0, 0), Prefix = 8, Kind = Proto.Types.Kind.Pod } } };
        var set = ResourceSetBuilder.With(ResourceSet.Empty with { RangesWanted = true }, TypeUrls.MeshRanges, "1", [Any.Pack(proto)], new ConfigErrors());
        return new Snapshot { Number = 1, Listeners = [], Ranges = new Linker().Link(set).Ranges };
    }
}
