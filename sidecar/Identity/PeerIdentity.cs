using System.Globalization;
using System.Text;
using Mesh.Api.Identity;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// Who is at the other end of a connection, as the handshake proved it. Made once a connection, when chain, rules of X.509-SVID and trust
/// domain were checked; never made from anything a peer merely says. Immutable, but for a text it remembers.
/// </summary>
internal sealed class PeerIdentity
{
    private ForwardedText? forwarded;

    /// <summary>The peer's SPIFFE ID, as it stands in its certificate.</summary>
    public required string Uri { get; init; }

    /// <summary>Namespace in the peer's ID; <c>unknown</c> when its path is of another form.</summary>
    public string Namespace => SpiffeId.TryParse(Uri, out var id, out _) ? id.Namespace ?? "unknown" : "unknown";

    /// <summary>SHA-256 of the peer's certificate (DER), 64 lower-case hexadecimal digits.</summary>
    public required string CertificateHash { get; init; }

    /// <summary>SHA-256 (hex) of the root that vouched for it in the handshake; empty when it is not known.</summary>
    public string Root { get; init; } = "";

    /// <summary>Subject of the peer's certificate; empty when it has none, as SVIDs usually do.</summary>
    public string Subject { get; init; } = "";

    /// <summary>Our own SPIFFE ID in that handshake; empty when it is not known.</summary>
    public string OwnUri { get; init; } = "";

    /// <summary>
    /// The value of x-forwarded-client-cert that says so, as Envoy writes it: <c>By=..;Hash=..;Subject="..";URI=..</c>. The same text for all
    /// requests of a connection.
    /// </summary>
    public string Forwarded(ClientCertDetails details)
    {
        if (forwarded is { } known && known.Details == details) return known.Text;
        var text = new StringBuilder(256);
        if (OwnUri.Length > 0) text.Append("By=").Append(Value(OwnUri)).Append(';');
        text.Append("Hash=").Append(CertificateHash);
        if (details.HasFlag(ClientCertDetails.Subject)) text.Append(";Subject=").Append(Quoted(Subject));
        if (details.HasFlag(ClientCertDetails.Uri)) text.Append(";URI=").Append(Value(Uri));
        forwarded = new ForwardedText(details, text.ToString());
        return forwarded.Text;
    }

    private static string Value(string text) => text.AsSpan().IndexOfAny(",;=\"\\") < 0 && IsPlain(text) ? text : Quoted(text);

    private static bool IsPlain(string text) => !text.AsSpan().ContainsAnyExceptInRange('\x21', '\x7e');

    /// <summary>In quotes, so that nothing in it can begin another element or another field (CVE-2023-27493); bytes that have no place in a field as \XX.</summary>
    private static string Quoted(string text)
    {
        var quoted = new StringBuilder(text.Length + 8).Append('"');
        foreach (var b in Encoding.UTF8.GetBytes(text))
        {
            if (b is (byte)'"' or (byte)'\\') quoted.Append('\\').Append((char)b);
            else if (b is >= 0x20 and < 0x7f) quoted.Append((char)b);
            else quoted.Append('\\').Append(b.ToString("X2", CultureInfo.InvariantCulture));
        }

        return quoted.Append('"').ToString();
    }

    private sealed record ForwardedText(ClientCertDetails Details, string Text);
}
