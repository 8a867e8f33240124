using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// What is asked of the peer's certificate inside of a handshake, before a byte is carried: the rules of SVIDs under the roots in force, an ID
/// that may be there, and that is not revoked. One per handshake.
/// </summary>
internal sealed class PeerCheck(Security security, Credentials credentials, PeerRule rule)
{
    /// <summary>The peer, once it is proven.</summary>
    public PeerIdentity? Peer { get; private set; }

    /// <summary>Why it was refused; none when it was not asked yet.</summary>
    public HandshakeProblem Problem { get; private set; }

    /// <summary>The same in words.</summary>
    public string Text { get; private set; } = "";

    /// <summary>The handshake's callback: what the runtime thinks of the chain counts for nothing.</summary>
    public bool Validate(object sender, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors)
    {
        var leaf = certificate as X509Certificate2;
        var verdict = security.Verifier.Verify(leaf, chain, credentials.Bundle);
        if (!verdict.Ok) return Refuse(HandshakeResult.Of(verdict.Problem), verdict.Text);
        var id = verdict.Id!.ToString();
        if (!rule.Takes(id)) return Refuse(HandshakeProblem.UnexpectedPeer, $"expected was {rule}, shown was {id}");
        if (security.Connections.IsRevoked(id)) return Refuse(HandshakeProblem.Revoked, $"{id} is revoked");
        Peer = new PeerIdentity
        {
            Uri = id,
            CertificateHash = TrustBundle.Sha256(leaf!),
            Subject = leaf!.Subject,
            Root = verdict.Root,
            OwnUri = credentials.Svid.Id.ToString(),
        };
        return true;
    }

    private bool Refuse(HandshakeProblem problem, string text)
    {
        (Problem, Text) = (problem, text);
        return false;
    }
}
