using System.Diagnostics;

namespace Mesh.Tests;

/// <summary>Waits for something another process or thread will make true: looks again and again, and says what was last seen when it never comes.</summary>
public static class Eventually
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);

    /// <summary>Waits until <paramref name="holds"/>.</summary>
    public static Task HoldsAsync(Func<bool> holds, string what, double seconds = 30) =>
        HoldsAsync(() => Task.FromResult(holds()), what, seconds);

    /// <inheritdoc cref="HoldsAsync(Func{bool}, string, double)"/>
    public static Task HoldsAsync(Func<Task<bool>> holds, string what, double seconds = 30) =>
        PassesAsync(async () => Assert.True(await holds(), what), seconds);

    /// <summary>Waits until <paramref name="check"/> no longer throws; its last complaint is the test's.</summary>
    public static async Task PassesAsync(Func<Task> check, double seconds = 30)
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                await check();
                return;
            }
            catch (Exception e) when (e is not SkipException && waited.Elapsed.TotalSeconds < seconds)
            {
                await Task.Delay(Pause);
            }
        }
    }
}
