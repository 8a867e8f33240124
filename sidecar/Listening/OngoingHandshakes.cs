namespace Mesh.Sidecar.Listening;

/// <summary>
/// Bounds the handshakes of clients that run at once, since each holds buffers before anybody has proved anything. One more than may be ends the
/// oldest, if that hangs: who is honest is through in milliseconds, and in a second where many come at once. Thread safe; lives as long as the
/// data path.
/// </summary>
internal sealed class OngoingHandshakes(int most, TimeProvider time)
{
    /// <summary>For a process: about 160 MiB when all of them hang.</summary>
    public const int Usual = 2000;

    /// <summary>What is younger does not hang.</summary>
    public static readonly TimeSpan Young = TimeSpan.FromSeconds(1);
    private readonly Lock gate = new();
    private readonly LinkedList<Handshake> ongoing = [];

    /// <summary>One begins, with the source of its bound; it is to be given to <see cref="End"/>.</summary>
    public LinkedListNode<Handshake> Begin(CancellationTokenSource bound)
    {
        CancellationTokenSource? oldest = null;
        LinkedListNode<Handshake> begun;
        lock (gate)
        {
            if (ongoing.Count >= most && ongoing.First is { } first && time.GetElapsedTime(first.Value.Begun) >= Young)
            {
                oldest = first.Value.Bound;
                ongoing.Remove(first);
            }

            begun = ongoing.AddLast(new Handshake(bound, time.GetTimestamp()));
        }

        if (oldest is not null) Cut(oldest);
        return begun;
    }

    /// <summary>It has ended, well or not.</summary>
    public void End(LinkedListNode<Handshake> begun)
    {
        lock (gate)
        {
            if (begun.List is not null) ongoing.Remove(begun);
        }
    }

    private static void Cut(CancellationTokenSource handshake)
    {
        try
        {
            handshake.CancelAfter(TimeSpan.Zero); // on another thread: this one has a client to serve
        }
        catch (ObjectDisposedException)
        {
            // It has ended just now.
        }
    }

    /// <summary>A handshake that runs.</summary>
    internal readonly record struct Handshake(CancellationTokenSource Bound, long Begun);
}
