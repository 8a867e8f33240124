using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Listening;

/// <summary>What the first bytes of a connection say.</summary>
/// <param name="Detected">What they speak.</param>
/// <param name="Hello">What a TLS client says of itself; null otherwise.</param>
internal readonly record struct FirstWords(Detected Detected, ClientHello? Hello)
{
    /// <summary>Of a connection that nobody has to look at.</summary>
    public static FirstWords Untold { get; } = new(Detected.Other, null);

    /// <summary>True when they are HTTP or TLS: what a server said meanwhile changes nothing then.</summary>
    public bool Decide => Detected is not (Detected.Other or Detected.NeedMore);

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

/// <summary>What there is to find out from first bytes, and how long that may take. Immutable.</summary>
/// <param name="AsksForTls">Whether TLS is told from plaintext.</param>
/// <param name="SpeaksHttp">Whether HTTP is told from anything else.</param>
/// <param name="PassesBytes">
/// Whether who says nothing is served: only where bytes are passed, since the server may speak first there. A client of HTTP speaks first, so one
/// that does not is nobody to keep a connection for.
/// </param>
/// <param name="Patience">How long a client may say nothing, or nothing more.</param>
internal readonly record struct FirstBytes(bool AsksForTls, bool SpeaksHttp, bool PassesBytes, TimeSpan Patience)
{
    /// <summary>How long a client may take for what tells its protocol.</summary>
    public static readonly TimeSpan HeadBound = TimeSpan.FromSeconds(10);

    /// <summary>How long, where nothing says how long and bytes are passed.</summary>
    public static readonly TimeSpan UsualPatience = TimeSpan.FromSeconds(5);

    /// <summary>Bytes beyond which no more are waited for.</summary>
    public int Most => AsksForTls ? ClientHello.MostBytes : Detection.MostBytes;

    /// <summary>What a client is that said nothing in time.</summary>
    public Detected OfSilence => PassesBytes ? Detected.Other : Detected.NeedMore;

    /// <summary>Whether first bytes matter for the choice of a chain or an engine.</summary>
    public static bool Matter(Listener listener, ChainGroup group) => (listener.InspectsTls && group.AsksForTls) || group.SpeaksHttp;

    /// <summary>What matters to these chains of a listener.</summary>
    public static FirstBytes Of(Listener listener, ChainGroup group)
    {
        var asksForTls = listener.InspectsTls && group.AsksForTls;
        var bound = group.Detects && listener.DetectTimeout == TimeSpan.Zero ? UsualPatience : listener.DetectTimeout;
        var passesBytes = ChainMatch.Find(group, Spoken.Plain)?.Tcp is not null && (asksForTls ? bound > TimeSpan.Zero : listener.InspectsHttp || group.Detects);
        var patience = passesBytes && bound > TimeSpan.Zero ? bound : group.TakesPlaintext ? HeadBound : Security.HandshakeBound;
        // A hello that got lost on its way must not turn mutual TLS into plaintext: it comes again within that time.
        if (passesBytes && group.TakesMutualTls && patience < Security.HandshakeBound) patience = Security.HandshakeBound;
        return new FirstBytes(asksForTls, group.SpeaksHttp, passesBytes, patience);
    }

    /// <summary>What the bytes so far say.</summary>
    public FirstWords Look(ReadOnlySpan<byte> bytes)
    {
        if (AsksForTls && ClientHello.MayBe(bytes))
        {
            if (!ClientHello.TryRead(bytes, out var hello) && bytes.Length < Most) return new(Detected.NeedMore, null);
            return hello is null ? FirstWords.Untold : new(Detected.Tls, hello);
        }

        return new(SpeaksHttp ? Detection.Look(bytes) : Detected.Other, null);
    }
}
