using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Mesh.Tests;

/// <summary>Waits for something another process or thread will make true: looks again and again, and says what was last seen when it never comes.</summary>
public static class Eventually
{
    // Seconds. Only a test that fails waits for so long.
    private const double Patience = 60;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);

    /// <summary>Waits until <paramref name="holds"/>.</summary>
    public static Task HoldsAsync(Func<bool> holds, string what, double seconds = Patience) =>
        HoldsAsync(() => Task.FromResult(holds()), what, seconds);

    /// <inheritdoc cref="HoldsAsync(Func{bool}, string, double)"/>
    public static Task HoldsAsync(Func<Task<bool>> holds, string what, double seconds = Patience) =>
        PassesAsync(async () => Assert.True(await holds(), what), seconds);

    /// <summary>Waits until <paramref name="condition"/>; the complaint is its text, or what <paramref name="describe"/> says at the end.</summary>
    public static async Task TrueAsync(Func<bool> condition, Func<string>? describe = null, [CallerArgumentExpression(nameof(condition))] string text = "")
    {
        var waited = Stopwatch.StartNew();
        while (!condition())
        {
            if (waited.Elapsed.TotalSeconds > Patience) Assert.Fail($"never so: {(describe is null ? text : describe())}");
            await Task.Delay(5);
        }
    }

    /// <summary>Waits until <paramref name="check"/> no longer throws; its last complaint is the test's.</summary>
    public static async Task PassesAsync(Func<Task> check, double seconds = Patience)
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
