using Mesh.Api.Identity;

namespace Mesh.Sidecar.Identity;

/// <summary>What all handshakes of this process share. Thread safe; lives as long as the process.</summary>
internal sealed class Security(TimeProvider time)
{
    private volatile bool ownContexts = !OpenSslSettings.CanShare;

    /// <summary>The longest a client may take for its side of a handshake, from its first byte on.</summary>
    public static readonly TimeSpan HandshakeBound = TimeSpan.FromSeconds(5);

    /// <summary>Whether connections share OpenSSL's contexts.</summary>
    public bool SharesContexts => !ownContexts;

    /// <summary>The sidecar's own certificate and roots.</summary>
    public LiveCredentials Own { get; } = new();

    /// <summary>Judges certificates.</summary>
    public SvidVerifier Verifier { get; } = new(time);

    /// <summary>The secured connections that are open, and who may have none.</summary>
    public SecuredConnections Connections { get; } = new();

    /// <summary>What has to be true for sharing was not: every connection made from now on has a context of its own, in which nothing can be resumed.</summary>
    public void StopSharing() => ownContexts = true;
}
