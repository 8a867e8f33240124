namespace Mesh.Sidecar.Balancing;

/// <summary>
/// Bounds the handshakes with one address that run at once; who comes later waits, and goes in the order of coming. Many at once share the processors of both
/// ends: without turns all of them end late, or not in time, and each holds buffers until then. By address, so that one that hangs holds up nobody
/// else's. Thread safe; lives as long as the address is known.
/// </summary>
internal sealed class Turns
{
    /// <summary>How many run at once: where the way there and back takes 100 ms, that is still 640 connections a second.</summary>
    public const int AtOnce = 128;
    private readonly SemaphoreSlim places = new(AtOnce);

    /// <summary>Waits for a turn, which ends when it is disposed. Cancelled, it is none, and whatever follows is cancelled too.</summary>
    public async ValueTask<Turn> TakeAsync(CancellationToken cancel)
    {
        try
        {
            await places.WaitAsync(cancel);
            return new Turn(places);
        }
        catch (OperationCanceledException)
        {
            return default;
        }
    }

    /// <summary>A turn; by default none, which takes no place.</summary>
    public readonly struct Turn(SemaphoreSlim places) : IDisposable
    {
        /// <summary>Ends it.</summary>
        public void Dispose() => places?.Release();
    }
}
