using Mesh.Api.Identity;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// The sidecar's own certificate and the roots it believes, as of this moment: new handshakes use the newest. One writer, any number of
/// readers; lives as long as the process.
/// </summary>
internal sealed class LiveCredentials
{
    private volatile Credentials? current;

    /// <summary>The newest; null until the workload is certified.</summary>
    public Credentials? Current => current;

    /// <summary>Raised after a change, on the thread that made it. Handlers must not block.</summary>
    public event Action? Changed;

    /// <summary>Takes the newest.</summary>
    public void Set(Credentials next)
    {
        current = next;
        Changed?.Invoke();
    }
}
