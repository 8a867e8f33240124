using System.Buffers;
using System.Net.Sockets;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Listening;

/// <summary>What the first bytes of a connection say.</summary>
/// <param name="Detected">What they speak.</param>
/// <param name="Hello">What a TLS client says of itself; null otherwise.</param>
internal readonly record struct FirstWords(Detected Detected, ClientHello? Hello)
{
    /// <summary>The same for the choice of the filter chain.</summary>
    public Spoken Spoken => Detected switch
    {
        Detected.Tls => new Spoken(Spoken.Tls, Hello!.Protocols),
        Detected.Http2 => Spoken.Found(ChainMatch.H2C),
        Detected.Http10 => Spoken.Found(ChainMatch.Http10),
        Detected.Http11 or Detected.Connect => Spoken.Found(ChainMatch.Http11),
        _ => Spoken.Plain,
    };
}

/// <summary>
/// Looks at the first bytes of a connection and leaves them where they are. One per process, any number of connections. A TLS client has
/// <see cref="Security.HandshakeBound"/> for its hello, however it is cut.
/// </summary>
internal sealed class FirstBytes(TimeProvider time)
{
    /// <summary>How long a client may take for what tells its protocol.</summary>
    public static readonly TimeSpan HeadBound = TimeSpan.FromSeconds(10);
    private const int Usual = 1024;
    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(50);

    /// <summary>
    /// What the connection speaks. Who says nothing in time is taken for one that waits for the server to speak first (<see cref="Detected.Other"/>)
    /// where the listener says so, else for one that never will (<see cref="Detected.NeedMore"/>).
    /// </summary>
    public async ValueTask<FirstWords> LookAsync(Socket accepted, Listener listener, ChainGroup group)
    {
        var asksForTls = AsksForTls(listener, group);
        using var timeout = new CancellationTokenSource(Patience(listener, group, asksForTls), time);
        var most = asksForTls ? ClientHello.MostBytes : Detection.MostBytes;
        var bytes = ArrayPool<byte>.Shared.Rent(Usual);
        var (seen, pause, isTls) = (0, ShortestPause, false);
        try
        {
            while (true)
            {
                var count = await accepted.ReceiveAsync(bytes, SocketFlags.Peek, timeout.Token);
                if (count == 0) return new(isTls ? Detected.NeedMore : Detected.Other, null);
                var words = Look(bytes.AsSpan(0, count), asksForTls, group.SpeaksHttp, count >= most);
                if (words.Detected != Detected.NeedMore) return words;
                if (!isTls && asksForTls && ClientHello.MayBe(bytes.AsSpan(0, count)))
                {
                    isTls = true;
                    timeout.CancelAfter(Security.HandshakeBound);
                }

                if (count == bytes.Length)
                {
                    Grow(ref bytes, most);
                    continue;
                }

                // Peeking returns the same bytes at once: wait a little, longer each time nothing came.
                pause = count == seen && pause < LongestPause ? pause * 2 : ShortestPause;
                seen = count;
                await Task.Delay(pause, time, timeout.Token);
            }
        }
        catch (OperationCanceledException)
        {
            return new(GoesOnInSilence(listener, group, asksForTls) && !isTls ? Detected.Other : Detected.NeedMore, null);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    /// <summary>What lies there is more than usual. Whoever says nothing costs little, however many they are.</summary>
    private static void Grow(ref byte[] bytes, int most)
    {
        var wanted = Math.Min(bytes.Length * 4, most);
        ArrayPool<byte>.Shared.Return(bytes);
        bytes = ArrayPool<byte>.Shared.Rent(wanted);
    }

    /// <summary>Whether first bytes matter for the choice of a chain or an engine.</summary>
    public static bool Matter(Listener listener, ChainGroup group) => AsksForTls(listener, group) || group.SpeaksHttp;

    private static FirstWords Look(ReadOnlySpan<byte> bytes, bool asksForTls, bool speaksHttp, bool full)
    {
        if (asksForTls && ClientHello.MayBe(bytes))
        {
            if (!ClientHello.TryRead(bytes, out var hello) && !full) return new(Detected.NeedMore, null);
            return hello is null ? new(Detected.Other, null) : new(Detected.Tls, hello);
        }

        return new(speaksHttp ? Detection.Look(bytes) : Detected.Other, null);
    }

    private static bool AsksForTls(Listener listener, ChainGroup group) => listener.InspectsTls && group.AsksForTls;

    /// <summary>
    /// Whether who says nothing is served: only where bytes are passed, since the server may speak first there. A client of HTTP speaks first,
    /// so one that does not is nobody to keep a connection for.
    /// </summary>
    private static bool GoesOnInSilence(Listener listener, ChainGroup group, bool asksForTls) =>
        ChainMatch.Find(group, Spoken.Plain)?.Tcp is not null && (asksForTls ? listener.DetectTimeout > TimeSpan.Zero : listener.InspectsHttp);

    private static TimeSpan Patience(Listener listener, ChainGroup group, bool asksForTls)
    {
        if (GoesOnInSilence(listener, group, asksForTls) && listener.DetectTimeout > TimeSpan.Zero) return listener.DetectTimeout;
        return group.TakesPlaintext ? HeadBound : Security.HandshakeBound;
    }
}
