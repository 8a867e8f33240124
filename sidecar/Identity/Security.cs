using Mesh.Api.Identity;

namespace Mesh.Sidecar.Identity;

/// <summary>What all handshakes of this process share. Thread safe; lives as long as the process.</summary>
internal sealed class Security(TimeProvider time)
{
    /// <summary>The longest a client may take for its side of a handshake, from its first byte on.</summary>
    public static readonly TimeSpan HandshakeBound = TimeSpan.FromSeconds(5);

    /// <summary>The sidecar's own certificate and roots.</summary>
    public LiveCredentials Own { get; } = new();

    /// <summary>Judges certificates.</summary>
    public SvidVerifier Verifier { get; } = new(time);

    /// <summary>The secured connections that are open, and who may have none.</summary>
    public SecuredConnections Connections { get; } = new();
}
