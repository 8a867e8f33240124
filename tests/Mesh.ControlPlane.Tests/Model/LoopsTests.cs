using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Tests.Model;

public sealed class LoopsTests
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_fault_of_one_ends_the_others_and_is_the_fault_of_all()
    {
        var ended = new TaskCompletionSource();
        var running = Loops.RunAsync(CancellationToken.None, stop => UntilAsync(stop, ended), FailAsync, _ => Task.CompletedTask);
        Assert.Equal("a bug", (await Assert.ThrowsAsync<InvalidOperationException>(() => running.WaitAsync(Bound))).Message);
        Assert.True(ended.Task.IsCompleted);
    }

    [Fact]
    public async Task What_fails_at_once_is_a_fault_as_well()
    {
        var ended = new TaskCompletionSource();
        var running = Loops.RunAsync(CancellationToken.None, stop => UntilAsync(stop, ended), _ => throw new InvalidOperationException("a bug"));
        await Assert.ThrowsAsync<InvalidOperationException>(() => running.WaitAsync(Bound));
        Assert.True(ended.Task.IsCompleted);
    }

    [Fact]
    public async Task The_end_of_one_is_not_the_end_of_the_others()
    {
        using var stop = new CancellationTokenSource();
        var ended = new TaskCompletionSource();
        var running = Loops.RunAsync(stop.Token, token => UntilAsync(token, ended), _ => Task.CompletedTask);
        Assert.False(ended.Task.IsCompleted);
        Assert.False(running.IsCompleted);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running.WaitAsync(Bound));
        Assert.True(ended.Task.IsCompleted);
    }

    private static async Task FailAsync(CancellationToken stop)
    {
        await Task.Yield();
        throw new InvalidOperationException("a bug");
    }

    private static async Task UntilAsync(CancellationToken stop, TaskCompletionSource ended)
    {
        try
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, stop);
        }
        finally
        {
            ended.SetResult();
        }
    }
}
