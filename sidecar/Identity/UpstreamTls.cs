using System.Collections.Immutable;
using System.Net.Security;
using Mesh.Api.Identity;

namespace Mesh.Sidecar.Identity;

/// <summary>What is carried over a connection, as far as its ALPN tells.</summary>
internal enum Carried
{
    /// <summary>HTTP/1.</summary>
    Http1,

    /// <summary>HTTP/2.</summary>
    Http2,

    /// <summary>Anything else.</summary>
    Tcp,
}

/// <summary>
/// How endpoints are called over mutual TLS: who must answer there, and what we show. Immutable but for a cache; thread safe.
/// </summary>
internal sealed class UpstreamTls(PeerRule expected, string sni, ImmutableArray<string> alpn, Credentials? written = null)
{
    private readonly ImmutableArray<List<SslApplicationProtocol>> offers =
        [Alpn.Offer(alpn, Carried.Http1), Alpn.Offer(alpn, Carried.Http2), Alpn.Offer(alpn, Carried.Tcp)];

    private volatile DialTerms? terms;

    /// <summary>The IDs that may answer.</summary>
    public PeerRule Expected => expected;

    /// <summary>Server name shown; a label for whoever routes by it, never what is checked.</summary>
    public string Sni => sni;

    /// <summary>The protocols the configuration lists.</summary>
    public ImmutableArray<string> Protocols => alpn;

    /// <summary>The protocols that are offered for what is carried; empty offers none.</summary>
    public List<SslApplicationProtocol> Offer(Carried carried) => offers[(int)carried];

    /// <summary>
    /// The same, for one of the expected IDs and no other; null when that makes no difference: it is the only one, or not one of them.
    /// </summary>
    public UpstreamTls? Only(string id)
    {
        if (id.Length == 0 || expected.TakesAny || !expected.Takes(id)) return null;
        return expected is { Exact.Length: 1, Prefixes.IsEmpty: true } ? null : new UpstreamTls(new PeerRule([id], []), sni, alpn, written);
    }

    /// <summary>
    /// The terms of connections made now: with the certificate of the configuration, or else the sidecar's own. Null when there is none yet,
    /// and then nothing may be sent.
    /// </summary>
    public DialTerms? TermsNow(LiveCredentials own)
    {
        var credentials = written ?? own.Current;
        if (credentials is null) return null;
        var known = terms;
        return known is not null && ReferenceEquals(known.Credentials, credentials) ? known : terms = new DialTerms(this, credentials);
    }
}
