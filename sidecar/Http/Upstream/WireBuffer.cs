using System.Buffers.Text;
using System.Text;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// Bytes on their way to or from a socket: an array with a filled part from <see cref="Start"/> to <see cref="End"/>.
/// One owner, one thread at a time. The array is not pooled: a receive may still write into it when its connection is given up.
/// </summary>
internal sealed class WireBuffer(int size)
{
    private byte[] bytes = GC.AllocateUninitializedArray<byte>(size);

    /// <summary>First filled byte.</summary>
    public int Start { get; private set; }

    /// <summary>One past the last filled byte.</summary>
    public int End { get; private set; }

    /// <summary>Number of filled bytes.</summary>
    public int Count => End - Start;

    /// <summary>Size of the array.</summary>
    public int Capacity => bytes.Length;

    /// <summary>What is filled.</summary>
    public ReadOnlySpan<byte> Filled => bytes.AsSpan(Start, End - Start);

    /// <summary>What is filled, for sending.</summary>
    public ReadOnlyMemory<byte> FilledMemory => bytes.AsMemory(Start, End - Start);

    /// <summary>What is free behind it.</summary>
    public Memory<byte> Free => bytes.AsMemory(End);

    /// <summary>Drops bytes at the front.</summary>
    public void Consume(int count)
    {
        Start += count;
        if (Start == End) Start = End = 0;
    }

    /// <summary>Bytes were filled in behind the end.</summary>
    public void Produce(int count) => End += count;

    /// <summary>Drops everything.</summary>
    public void Clear() => Start = End = 0;

    /// <summary>Makes room for at least <paramref name="count"/> bytes behind the end.</summary>
    public void Reserve(int count)
    {
        if (bytes.Length - End >= count) return;
        if (bytes.Length - Count >= count)
        {
            Filled.CopyTo(bytes);
            (Start, End) = (0, Count);
            return;
        }

        Resize(Math.Max(Count + count, bytes.Length * 2));
    }

    /// <summary>Changes the size of the array; what is filled is kept.</summary>
    public void Resize(int size)
    {
        var next = GC.AllocateUninitializedArray<byte>(Math.Max(size, Count));
        Filled.CopyTo(next);
        (Start, End) = (0, Count);
        bytes = next;
    }

    /// <summary>Appends bytes.</summary>
    public void Append(ReadOnlySpan<byte> text)
    {
        Reserve(text.Length);
        text.CopyTo(bytes.AsSpan(End));
        End += text.Length;
    }

    /// <summary>Appends text as Latin-1, which is how it was read.</summary>
    public void Append(string text)
    {
        Reserve(text.Length);
        End += Encoding.Latin1.GetBytes(text, bytes.AsSpan(End));
    }

    /// <summary>Appends a number in decimal digits.</summary>
    public void Append(long number)
    {
        Reserve(20);
        Utf8Formatter.TryFormat(number, bytes.AsSpan(End), out var written);
        End += written;
    }

    /// <summary>Appends a number in hexadecimal digits.</summary>
    public void AppendHex(long number)
    {
        Reserve(16);
        number.TryFormat(bytes.AsSpan(End), out var written, "x", null);
        End += written;
    }
}
