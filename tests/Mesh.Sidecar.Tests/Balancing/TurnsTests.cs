using Mesh.Sidecar.Balancing;

namespace Mesh.Sidecar.Tests.Balancing;

/// <summary>Turns are taken in the order of coming, end once, and a wait that is given up takes none.</summary>
public sealed class TurnsTests
{
    [Fact]
    public async Task WhoComesLaterWaitsForWhoCameBefore()
    {
        var turns = new Turns();
        var taken = new Queue<Turns.Turn>();
        for (var i = 0; i < Turns.AtOnce; i++) taken.Enqueue(await turns.TakeAsync(CancellationToken.None));
        using var impatience = new CancellationTokenSource();
        var impatient = turns.TakeAsync(impatience.Token).AsTask();
        var first = turns.TakeAsync(CancellationToken.None).AsTask();
        var second = turns.TakeAsync(CancellationToken.None).AsTask();
        Assert.False(impatient.IsCompleted || first.IsCompleted || second.IsCompleted);
        await impatience.CancelAsync();
        (await impatient).Dispose(); // none: it gives no place to anybody
        Assert.False(first.IsCompleted || second.IsCompleted);
        taken.Dequeue().Dispose();
        using var begun = await first;
        Assert.False(second.IsCompleted);
        taken.Dequeue().Dispose();
        using var next = await second;
    }
}
