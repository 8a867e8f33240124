using System.Runtime.InteropServices;

namespace Mesh.Sidecar.Capture;

/// <summary>
/// Runs something on a thread of its own that is somebody else to the kernel: another user, or in a new network namespace. Sockets keep what they
/// were created with; the thread, and with it the namespace, is gone afterwards.
/// </summary>
internal static class ProbeThread
{
    private const int NewNetworkNamespace = 0x40000000;

    /// <summary>User and group of this thread.</summary>
    public static (uint Uid, uint Gid) Self => (GetEffectiveUser(), GetEffectiveGroup());

    /// <summary>Runs it as this user and group; null: as this process.</summary>
    public static T RunAs<T>(uint? uid, uint? gid, Func<T> work) => Run(() =>
    {
        // The C library would change all threads; the kernel changes one. The group first: the user may be the last to be allowed to.
        if (gid is { } group && Syscall(SetResGid, group, group, group) != 0) throw new CaptureException($"this process may not act as group {group}: that takes CAP_SETGID");
        if (uid is { } user && Syscall(SetResUid, user, user, user) != 0) throw new CaptureException($"this process may not act as user {user}: that takes CAP_SETUID");
        return work();
    });

    /// <summary>Runs it in a new, empty network namespace, known as that of the thread whose id it is given; null when that may not be.</summary>
    public static T? RunOutside<T>(Func<int, T> work)
        where T : class => Run(() => Unshare(NewNetworkNamespace) == 0 ? work(ThreadId()) : null);

    private static nint SetResGid => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 149 : 119;

    private static nint SetResUid => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 147 : 117;

    private static T Run<T>(Func<T> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
            try
            {
                done.SetResult(work());
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        });
        thread.IsBackground = true;
        thread.Start();
        return done.Task.GetAwaiter().GetResult();
    }

    [DllImport("libc", EntryPoint = "syscall")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nint Syscall(nint number, nuint one, nuint two, nuint three);

    [DllImport("libc", EntryPoint = "geteuid")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern uint GetEffectiveUser();

    [DllImport("libc", EntryPoint = "getegid")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern uint GetEffectiveGroup();

    [DllImport("libc", EntryPoint = "unshare")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Unshare(int flags);

    [DllImport("libc", EntryPoint = "gettid")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int ThreadId();
}
