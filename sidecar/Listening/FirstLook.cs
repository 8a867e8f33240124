using System.Net.Sockets;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Looks at the first bytes of one connection until they tell what it speaks, however they are cut, or the time is over: a TLS client has
/// <see cref="Security.HandshakeBound"/> for its hello. Owned by the acceptor's task for the connection; dispose it when <see cref="RunAsync"/>
/// has ended and before anybody reads. Who hears the server meanwhile may move the deadline from any thread.
/// </summary>
internal sealed class FirstLook(Socket accepted, FirstBytes terms, TimeProvider time) : IDisposable
{
    private readonly Peeking peeking = new(accepted, time);
    private readonly CancellationTokenSource over = new(Timeout.InfiniteTimeSpan, time);
    private readonly Lock gate = new();
    private Detected atEnd = terms.OfSilence;
    private volatile bool isTls;
    private volatile bool isSilent = true;
    private bool waits;
    private bool isOver;

    /// <summary>True once the client has begun with what can only be TLS.</summary>
    public bool IsTls => isTls;

    /// <summary>True while the client has said nothing at all.</summary>
    public bool IsSilent => isSilent;

    /// <summary>What the connection speaks.</summary>
    public async Task<FirstWords> RunAsync()
    {
        try
        {
            while (true)
            {
                var more = peeking.MoreAsync(terms.Most, over.Token);
                if (!more.IsCompleted) Wait();
                if (!await more) return new(isTls ? Detected.NeedMore : Detected.Other, null);
                isSilent = false;
                var words = terms.Look(peeking.Bytes);
                if (words.Detected != Detected.NeedMore) return words;
                Note(terms.AsksForTls && ClientHello.MayBe(peeking.Bytes));
            }
        }
        catch (OperationCanceledException)
        {
            lock (gate) return new(atEnd, null);
        }
        finally
        {
            // Who reads next begins at the beginning.
            peeking.Dispose();
        }
    }

    /// <summary>For as long as the client says nothing: how much longer it may, and what it is then.</summary>
    public void WhileSilent(TimeSpan bound, Detected then)
    {
        lock (gate)
        {
            if (isSilent) Until(bound, then);
        }
    }

    /// <summary>Ends it: somebody else has decided.</summary>
    public void Stop() => over.Cancel();

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (gate) isOver = true;
        over.Dispose();
    }

    /// <summary>The first wait, and where bytes are passed each one, has its own time; who sends drop by drop what no byte is passed of has the same for it all.</summary>
    private void Wait()
    {
        lock (gate)
        {
            if (isTls || (waits && !terms.PassesBytes)) return;
            waits = true;
            Until(terms.Patience, terms.OfSilence);
        }
    }

    private void Note(bool mayBeTls)
    {
        lock (gate)
        {
            if (!mayBeTls || isTls) return;
            isTls = true;
            Until(Security.HandshakeBound, Detected.NeedMore);
        }
    }

    private void Until(TimeSpan bound, Detected then)
    {
        if (isOver) return;
        atEnd = then;
        over.CancelAfter(bound);
    }
}
