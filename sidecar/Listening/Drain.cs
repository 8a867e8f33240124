using System.Collections.Concurrent;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Ends open connections without losing a request. Stateless. HTTP/2 can say "nothing new" at once. An idle HTTP/1 connection closed at the
/// wrong moment loses the request that is on its way, so those get time first in which each answer carries <c>Connection: close</c>.
/// </summary>
internal static class Drain
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LongestPatience = TimeSpan.FromSeconds(2);

    /// <summary>The time in which only HTTP/2 is asked to end: a quarter of the bound, at most two seconds, and none when nothing is open.</summary>
    public static async Task WhileWordGetsAroundAsync(ConcurrentDictionary<OpenConnection, byte> open, TimeSpan bound, TimeProvider time)
    {
        var patience = bound / 4 < LongestPatience ? bound / 4 : LongestPatience;
        var began = time.GetTimestamp();
        while (!open.IsEmpty && time.GetElapsedTime(began) < patience)
        {
            foreach (var (connection, _) in open)
            {
                if (connection.IsHttp2) connection.RequestClose();
            }

            await Task.Delay(Look, time, CancellationToken.None);
        }
    }

    /// <summary>Runs until all are closed, at most <paramref name="bound"/>; what is open then is ended.</summary>
    public static async Task RunAsync(ConcurrentDictionary<OpenConnection, byte> open, TimeSpan bound, TimeProvider time)
    {
        var began = time.GetTimestamp();
        while (!open.IsEmpty && time.GetElapsedTime(began) < bound)
        {
            foreach (var (connection, _) in open) connection.RequestClose();
            await Task.Delay(Look, time, CancellationToken.None);
        }

        foreach (var (connection, _) in open) connection.Abort();
    }
}
