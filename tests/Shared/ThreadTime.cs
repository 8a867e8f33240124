using System.Runtime.InteropServices;

namespace Mesh.Tests;

/// <summary>
/// The processor time of the calling thread: what synchronous work costs, however many other tests and programs share the machine. Stateless.
/// </summary>
public static class ThreadTime
{
    private const int OfThread = 3; // CLOCK_THREAD_CPUTIME_ID

    /// <summary>How much processor time <paramref name="work"/> takes on this thread.</summary>
    public static TimeSpan Of(Action work)
    {
        var before = Now();
        work();
        return Now() - before;
    }

    /// <summary>The time this thread has run so far; means something only compared with another look on the same thread.</summary>
    public static TimeSpan Now()
    {
        if (GetTime(OfThread, out var now) != 0) throw new InvalidOperationException($"clock_gettime: error {Marshal.GetLastPInvokeError()}");
        return TimeSpan.FromSeconds(now.Seconds) + TimeSpan.FromMicroseconds(now.Nanoseconds / 1000.0);
    }

    [DllImport("libc", EntryPoint = "clock_gettime", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int GetTime(int clock, out Moment now);

    [StructLayout(LayoutKind.Sequential)]
    private readonly struct Moment
    {
        public readonly nint Seconds;
        public readonly nint Nanoseconds;
    }
}
