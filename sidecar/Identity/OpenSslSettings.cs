using System.Net.Security;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// What the runtime has no settings for, said to OpenSSL itself: give the two buffers of a connection back when they are empty (33 KiB that it would keep for
/// as long as the connection is open), hand out no tickets and keep none, since nothing is ever resumed here. That nothing is kept lets connections share their
/// contexts: the runtime makes one anew (14 KiB, 0.3 ms) for every connection that it is told not to resume, and shares them where it may resume.
/// The runtime's handle and lock are looked up by name; where they are not found, or OpenSSL is another one, nothing changes, and nothing is shared. Thread safe.
/// </summary>
internal static class OpenSslSettings
{
    private const int SetMode = 33; // SSL_CTRL_MODE, of a connection and of a context
    private const nint ReleaseBuffers = 0x10; // SSL_MODE_RELEASE_BUFFERS
    private const int SetSessionCache = 44; // SSL_CTRL_SET_SESS_CACHE_MODE
    private const int GetSessionCache = 45; // SSL_CTRL_GET_SESS_CACHE_MODE
    private const nint CacheOff = 0; // SSL_SESS_CACHE_OFF
    private const ulong NoTicket = 0x4000; // SSL_OP_NO_TICKET
    private static readonly FieldInfo? Handle = typeof(SslStream).GetField("_securityContext", BindingFlags.Instance | BindingFlags.NonPublic);
    private static readonly Func<SslStream, object>? Guard = typeof(SslStream).GetProperty("_handshakeLock", BindingFlags.Instance | BindingFlags.NonPublic)?.GetMethod?.CreateDelegate<Func<SslStream, object>>();
    private static readonly nint Control = Find("SSL_ctrl");
    private static readonly nint SetTickets = Find("SSL_set_num_tickets");
    private static readonly nint GetContext = Find("SSL_get_SSL_CTX");
    private static readonly nint ControlContext = Find("SSL_CTX_ctrl");
    private static readonly nint SetContextTickets = Find("SSL_CTX_set_num_tickets");
    private static readonly nint SetContextOptions = Find("SSL_CTX_set_options");
    private static readonly nint IsReused = Find("SSL_session_reused");

    /// <summary>
    /// Whether connections may share contexts, which is to say whether the runtime may be told that they may be resumed. Each must then be told otherwise by
    /// <see cref="Apply"/> in its handshake and asked by <see cref="IsNew"/> at its end.
    /// </summary>
    public static bool CanShare { get; } = Handle is not null && Guard is not null && Found(Control, SetTickets, GetContext, ControlContext, SetContextTickets, SetContextOptions, IsReused);

    /// <summary>
    /// Says so for a connection whose handshake has begun, while nobody else is at it; false when it has not begun, or cannot be said here. A server's
    /// has to be in the midst: at its end the tickets are sent. A client's too: tickets come after it.
    /// </summary>
    public static bool Apply(SslStream tls) => Guard is not null && Found(Control, SetTickets) && Ask(tls, Settle);

    /// <summary>Whether a handshake that is done was a whole one: nothing of an earlier session stood in for a certificate.</summary>
    public static bool IsNew(SslStream tls) => Found(IsReused) && Ask(tls, WasWhole);

    /// <summary>The context of a connection, to tell whether two have the same; zero where it cannot be found.</summary>
    public static unsafe nint ContextOf(SslStream tls)
    {
        nint found = 0;
        if (Found(GetContext)) Ask(tls, ssl => (found = ((delegate* unmanaged<nint, nint>)GetContext)(ssl)) != 0);
        return found;
    }

    private static bool Ask(SslStream tls, Func<nint, bool> ask)
    {
        if (Handle?.GetValue(tls) is not SafeHandle { IsInvalid: false } ssl) return false;
        var held = false;
        try
        {
            ssl.DangerousAddRef(ref held);
            return ask(ssl.DangerousGetHandle());
        }
        finally
        {
            if (held) ssl.DangerousRelease();
        }
    }

    private static unsafe bool Settle(nint ssl)
    {
        var tickets = ((delegate* unmanaged<nint, nuint, int>)SetTickets)(ssl, 0);
        var mode = ((delegate* unmanaged<nint, int, nint, nint, nint>)Control)(ssl, SetMode, ReleaseBuffers, 0);
        return tickets == 1 && (mode & ReleaseBuffers) != 0 && (!CanShare || SettleContext(((delegate* unmanaged<nint, nint>)GetContext)(ssl)));
    }

    /// <summary>
    /// For all who share it: no ticket is made, taken or kept, and buffers are given back from the first byte on: where many handshakes run at once, each
    /// would hold them. All say the same, each before a ticket can come to it; the first one's word is enough.
    /// </summary>
    private static unsafe bool SettleContext(nint context)
    {
        var control = (delegate* unmanaged<nint, int, nint, nint, nint>)ControlContext;
        if (control(context, GetSessionCache, 0, 0) == CacheOff) return true;
        if (((delegate* unmanaged<nint, nuint, int>)SetContextTickets)(context, 0) != 1) return false;
        if ((((delegate* unmanaged<nint, ulong, ulong>)SetContextOptions)(context, NoTicket) & NoTicket) == 0) return false;
        control(context, SetMode, ReleaseBuffers, 0);
        control(context, SetSessionCache, CacheOff, 0);
        return control(context, GetSessionCache, 0, 0) == CacheOff;
    }

    private static unsafe bool WasWhole(nint ssl) => ((delegate* unmanaged<nint, int>)IsReused)(ssl) == 0;

    private static bool Found(params ReadOnlySpan<nint> functions) => !functions.Contains(0);

    /// <summary>
    /// The lock under which the runtime encrypts and decrypts. It says the end of a connection without it, and OpenSSL reads in that, too: whoever says it takes
    /// the lock, else memory breaks that another thread decrypts into at that moment. Something nobody else locks where it is not found.
    /// </summary>
    public static object LockOf(SslStream tls) => Guard?.Invoke(tls) ?? new object();

    /// <summary>Looks in the library that the runtime has loaded, and in no other beside it.</summary>
    private static nint Find(string name) =>
        SafeEvpPKeyHandle.OpenSslVersion >> 28 == 3 && NativeLibrary.TryLoad("libssl.so.3", out var library) && NativeLibrary.TryGetExport(library, name, out var found) ? found : 0;
}
