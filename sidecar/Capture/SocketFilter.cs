using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Mesh.Sidecar.Capture;

/// <summary>
/// A program for the kernel that says which packets a socket gets (classic BPF, as SO_ATTACH_FILTER takes it): one with a small buffer then sees the one
/// packet it is there for on a machine that gets a million. Immutable.
/// </summary>
internal sealed class SocketFilter
{
    private const int SocketLevel = 1;
    private const int AttachFilter = 26;
    private const int InstructionLength = 8;

    // Loading, comparing and returning, as <linux/bpf_common.h> numbers them.
    private const ushort HeaderLengthToX = 0xb1;
    private const ushort ClearX = 0x01;
    private const ushort LoadHalfAtX = 0x48;
    private const ushort SkipUnlessEqual = 0x15;
    private const ushort Return = 0x06;
    private const uint Whole = uint.MaxValue;

    private readonly byte[] code;

    private SocketFilter(params Instruction[] instructions)
    {
        code = new byte[instructions.Length * InstructionLength];
        for (var i = 0; i < instructions.Length; i++)
        {
            var at = code.AsSpan(i * InstructionLength);
            MemoryMarshal.Write(at, instructions[i].Code);
            at[3] = instructions[i].IfNot;
            MemoryMarshal.Write(at[4..], instructions[i].Value);
        }
    }

    /// <summary>Lets nothing pass.</summary>
    public static SocketFilter Nothing { get; } = new(new Instruction(Return));

    /// <summary>Lets TCP and UDP from this port pass; whether packets begin with the header of IPv4, or with that of TCP or UDP.</summary>
    public static SocketFilter FromPort(int port, bool hasHeader) => new(
        new Instruction(hasHeader ? HeaderLengthToX : ClearX),
        new Instruction(LoadHalfAtX),
        new Instruction(SkipUnlessEqual, (uint)port, IfNot: 1),
        new Instruction(Return, Whole),
        new Instruction(Return));

    /// <summary>Gives it to a socket, in place of the one it has.</summary>
    public void Attach(Socket socket)
    {
        // struct sock_fprog: how many, padding, where.
        var program = new byte[2 * nint.Size];
        var pinned = GCHandle.Alloc(code, GCHandleType.Pinned);
        try
        {
            MemoryMarshal.Write(program, (ushort)(code.Length / InstructionLength));
            MemoryMarshal.Write(program.AsSpan(nint.Size), pinned.AddrOfPinnedObject());
            socket.SetRawSocketOption(SocketLevel, AttachFilter, program);
        }
        finally
        {
            pinned.Free();
        }
    }

    private readonly record struct Instruction(ushort Code, uint Value = 0, byte IfNot = 0);
}
