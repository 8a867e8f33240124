using System.Runtime.InteropServices;

namespace Mesh.Api.Identity;

/// <summary>
/// The machine's list of public authorities, which the runtime loads before it builds its first chain, by whatever roots that is judged:
/// a third of a second and 2 MiB for nothing, in a program that believes its mesh's roots alone. Stateless.
/// </summary>
public static partial class SystemRoots
{
    private const string Nowhere = "/nonexistent";

    /// <summary>
    /// Keeps the list from being loaded. Call before the first TLS connection, and only where nothing is to be judged by it: whatever
    /// paths the environment names, as container images often do, are not looked at.
    /// </summary>
    public static void LeaveOut()
    {
        // The native library reads the process's own environment, which Environment.SetEnvironmentVariable does not change.
        _ = SetVariable("SSL_CERT_DIR", Nowhere, overwrite: 1);
        _ = SetVariable("SSL_CERT_FILE", Nowhere, overwrite: 1);
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetVariable(string name, string value, int overwrite);
}
