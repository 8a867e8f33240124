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

    /// <summary>Runs until all are closed, at most <paramref name="bound"/>; what is open then is ended.</summary>
    public static async Task RunAsync(ConcurrentDictionary<OpenConnection, byte> open, TimeSpan bound, TimeProvider time)
    {
        var began = time.GetTimestamp();
        var patience = bound / 4 < LongestPatience ? bound / 4 : LongestPatience;
        while (!open.IsEmpty)
        {
            var passed = time.GetElapsedTime(began);
            if (passed >= bound) break;
            foreach (var (connection, _) in open)
            {
                if (connection.IsHttp2 || passed >= patience) connection.RequestClose();
            }

            await Task.Delay(Look, time, CancellationToken.None);
        }

        foreach (var (connection, _) in open) connection.Abort();
    }
}
