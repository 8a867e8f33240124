using System.Net.Security;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// What the runtime has no settings for, said to OpenSSL itself: give the two buffers of a connection back when they are empty (33 KiB that it would keep for
/// as long as the connection is open), and hand out no tickets, since nothing is ever resumed here (making and reading them costs, and so does keeping the
/// buffers they are read with). The runtime's handle is looked up by name; where it is not found, or OpenSSL is another one, nothing changes: neither is
/// needed for safety. Thread safe.
/// </summary>
internal static class OpenSslSettings
{
    private const int SetMode = 33; // SSL_CTRL_MODE
    private const nint ReleaseBuffers = 0x10; // SSL_MODE_RELEASE_BUFFERS
    private static readonly FieldInfo? Context = typeof(SslStream).GetField("_securityContext", BindingFlags.Instance | BindingFlags.NonPublic);
    private static readonly nint Control = Find("SSL_ctrl");
    private static readonly nint SetTickets = Find("SSL_set_num_tickets");

    /// <summary>
    /// Says so for a connection whose handshake has begun, while nobody else is at it; false when it has not begun, or cannot be said here. A server's
    /// has to be in the midst: at its end the tickets are sent.
    /// </summary>
    public static unsafe bool Apply(SslStream tls)
    {
        if (Control == 0 || SetTickets == 0 || Context?.GetValue(tls) is not SafeHandle { IsInvalid: false } ssl) return false;
        var held = false;
        try
        {
            ssl.DangerousAddRef(ref held);
            var handle = ssl.DangerousGetHandle();
            var tickets = ((delegate* unmanaged<nint, nuint, int>)SetTickets)(handle, 0);
            var mode = ((delegate* unmanaged<nint, int, nint, nint, nint>)Control)(handle, SetMode, ReleaseBuffers, 0);
            return tickets == 1 && (mode & ReleaseBuffers) != 0;
        }
        finally
        {
            if (held) ssl.DangerousRelease();
        }
    }

    /// <summary>Looks in the library that the runtime has loaded, and in no other beside it.</summary>
    private static nint Find(string name) =>
        SafeEvpPKeyHandle.OpenSslVersion >> 28 == 3 && NativeLibrary.TryLoad("libssl.so.3", out var library) && NativeLibrary.TryGetExport(library, name, out var found) ? found : 0;
}
