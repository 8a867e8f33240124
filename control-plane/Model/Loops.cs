namespace Mesh.ControlPlane.Model;

/// <summary>
/// Loops that are one thing to their owner: the first that faults ends the others, and the fault is the whole's, at once; that one ends in good order
/// means nothing to the others. Stateless.
/// </summary>
internal static class Loops
{
    /// <summary>Runs all until <paramref name="stop"/>, or until one faults and the others have ended by the token they are given.</summary>
    public static async Task RunAsync(CancellationToken stop, params IEnumerable<Func<CancellationToken, Task>> loops)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        Task[] running = [.. loops.Select(loop => Begin(loop, ending.Token))];
        Task? first = null;
        await foreach (var ended in Task.WhenEach(running))
        {
            if (!ended.IsFaulted) continue;
            first ??= ended;
            await ending.CancelAsync();
        }

        await (first ?? Task.WhenAll(running));
    }

    // What fails before its first wait fails like any other.
    private static async Task Begin(Func<CancellationToken, Task> loop, CancellationToken stop) => await loop(stop);
}
