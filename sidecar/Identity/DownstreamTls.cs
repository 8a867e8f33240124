using System.Collections.Immutable;
using System.Net.Security;
using Mesh.Api.Identity;

namespace Mesh.Sidecar.Identity;

/// <summary>How a filter chain takes mutual TLS. A client certificate is always required. Immutable.</summary>
internal sealed class DownstreamTls(PeerRule allowed, ImmutableArray<string> alpn, Credentials? written = null)
{
    /// <summary>The IDs that may call at all; what each may do is for the policies to say.</summary>
    public PeerRule Allowed => allowed;

    /// <summary>The protocols the configuration lists, in order of preference.</summary>
    public ImmutableArray<string> Protocols => alpn;

    /// <summary>The same for the handshake; null when the configuration lists none.</summary>
    public List<SslApplicationProtocol>? Offer { get; } = alpn.IsEmpty ? null : [.. alpn.Select(p => new SslApplicationProtocol(p))];

    /// <summary>The certificate and roots for a handshake that begins now; null when there are none yet.</summary>
    public Credentials? CredentialsNow(LiveCredentials own) => written ?? own.Current;
}
