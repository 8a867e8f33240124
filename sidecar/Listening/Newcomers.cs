using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Keeps new connections away from a listening socket that is about to be closed. Closing resets whoever connected after the last accept, and
/// who has sent a request by then cannot know whether it was served. With this the kernel leaves a new client's first packet unanswered:
/// he sends it again a second later and is refused before he has said anything. Stateless, thread safe.
/// </summary>
internal static class Newcomers
{
    private const int SocketLevel = 1, AttachFilter = 26; // SOL_SOCKET, SO_ATTACH_FILTER

    // Classic BPF over the TCP header. Pinned: the kernel is given its address.
    private static readonly ulong[] Program = Pinned(
        Instruction(0x30, 13), // load the flags
        Instruction(0x54, 0x12), // of them SYN and ACK
        Instruction(0x15, 0x02, ifFalse: 1), // SYN alone: somebody begins
        Instruction(0x06, 0), // dropped
        Instruction(0x06, uint.MaxValue)); // all else passes, the ends of handshakes too

    /// <summary>Lets nobody new connect to <paramref name="listening"/> any more. Where the kernel cannot do that, nothing changes.</summary>
    public static void KeepAway(Socket listening)
    {
        if (!OperatingSystem.IsLinux() || !Environment.Is64BitProcess || !BitConverter.IsLittleEndian) return;
        // struct sock_fprog: how many instructions, padding, where.
        Span<byte> argument = stackalloc byte[16];
        argument.Clear();
        BitConverter.TryWriteBytes(argument, (ushort)Program.Length);
        BitConverter.TryWriteBytes(argument[8..], Marshal.UnsafeAddrOfPinnedArrayElement(Program, 0).ToInt64());
        try
        {
            listening.SetRawSocketOption(SocketLevel, AttachFilter, argument);
        }
        catch (SocketException)
        {
            // Refused by a sandbox: the moment between the last accept and the close remains, as everywhere else.
        }
    }

    // struct sock_filter: what to do, how far to jump when true and when not, the value.
    private static ulong Instruction(ushort code, uint value, byte ifFalse = 0) => code | ((ulong)ifFalse << 24) | ((ulong)value << 32);

    private static ulong[] Pinned(params ReadOnlySpan<ulong> program)
    {
        var pinned = GC.AllocateArray<ulong>(program.Length, pinned: true);
        program.CopyTo(pinned);
        return pinned;
    }
}
