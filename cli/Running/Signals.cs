using System.Runtime.InteropServices;

namespace Mesh.Cli.Running;

/// <summary>Unix signals, which .NET can receive and not send. Stateless.</summary>
internal static partial class Signals
{
    public const int Interrupt = 2;
    public const int Quit = 3;
    public const int Kill = 9;
    public const int Terminate = 15;
    public const int Hangup = 1;

    /// <summary>Sends a signal; a process that has gone is no error.</summary>
    public static void Send(int processId, int signal) => _ = SysKill(processId, signal);

    /// <summary>Whether Ctrl-C at the terminal reaches the child by itself, since it is in the foreground with us.</summary>
    public static bool TerminalReachesChild() => IsATty(0) == 1 && TcGetPgrp(0) == GetPgrp();

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SysKill(int processId, int signal);

    [LibraryImport("libc", EntryPoint = "isatty")]
    private static partial int IsATty(int descriptor);

    [LibraryImport("libc", EntryPoint = "tcgetpgrp")]
    private static partial int TcGetPgrp(int descriptor);

    [LibraryImport("libc", EntryPoint = "getpgrp")]
    private static partial int GetPgrp();
}
