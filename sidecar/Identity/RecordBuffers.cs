using System.Net.Security;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// Has OpenSSL give the two buffers of a connection back when they are empty, 33 KiB that it would keep for as long as the connection is open. The runtime
/// has no setting for that, so its handle is looked up by name; where it is not found, or OpenSSL is another one, the buffers are kept and nothing else
/// changes. Thread safe.
/// </summary>
internal static class RecordBuffers
{
    private const int SetMode = 33; // SSL_CTRL_MODE
    private const nint ReleaseBuffers = 0x10; // SSL_MODE_RELEASE_BUFFERS
    private static readonly FieldInfo? Context = typeof(SslStream).GetField("_securityContext", BindingFlags.Instance | BindingFlags.NonPublic);
    private static readonly unsafe delegate* unmanaged<nint, int, nint, nint, nint> Control = FindControl();

    /// <summary>Says so for a connection whose handshake is done and that nobody uses yet; false when it cannot be said here.</summary>
    public static unsafe bool ReleaseWhenEmpty(SslStream tls)
    {
        if (Control is null || Context?.GetValue(tls) is not SafeHandle { IsInvalid: false } ssl) return false;
        var held = false;
        try
        {
            ssl.DangerousAddRef(ref held);
            return (Control(ssl.DangerousGetHandle(), SetMode, ReleaseBuffers, 0) & ReleaseBuffers) != 0;
        }
        finally
        {
            if (held) ssl.DangerousRelease();
        }
    }

    private static unsafe delegate* unmanaged<nint, int, nint, nint, nint> FindControl()
    {
        // The library that the runtime has loaded, and no other beside it.
        if (SafeEvpPKeyHandle.OpenSslVersion >> 28 != 3 || !NativeLibrary.TryLoad("libssl.so.3", out var library)) return null;
        return NativeLibrary.TryGetExport(library, "SSL_ctrl", out var found) ? (delegate* unmanaged<nint, int, nint, nint, nint>)found : null;
    }
}
