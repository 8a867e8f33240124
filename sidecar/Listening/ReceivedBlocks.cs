using System.Buffers;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Blocks of a pool in the order they were received into; the last one has room. One block serves as long as everything is consumed before more
/// comes. Not thread safe: under the lock of its reader. No I/O.
/// </summary>
internal struct ReceivedBlocks(MemoryPool<byte> pool)
{
    private Block? head;
    private Block? tail;
    private int start;

    /// <summary>Bytes that were received and not examined.</summary>
    public long Unexamined { get; private set; }

    /// <summary>What is there and not consumed.</summary>
    public readonly ReadOnlySequence<byte> Received => head is null ? default : new(head, start, tail!, tail!.Filled);

    /// <summary>Room for at least so many bytes behind the end.</summary>
    public Memory<byte> Room(int least)
    {
        if (tail is null) head = tail = new Block(pool.Rent(), 0);
        else if (tail.Free.Length < least) tail = tail.Append(pool.Rent());
        return tail.Free;
    }

    /// <summary>Bytes came into that room.</summary>
    public void Fill(int count)
    {
        tail!.Fill(count);
        Unexamined += count;
    }

    /// <summary>The reader is through with what lies before a position, and has seen what lies before another.</summary>
    public void Advance(SequencePosition consumed, SequencePosition examined, bool receiving)
    {
        if (consumed.GetObject() is not Block to || examined.GetObject() is not Block seen) return;
        Unexamined = tail!.RunningIndex + tail.Filled - seen.RunningIndex - examined.GetInteger();
        start = consumed.GetInteger();
        while (!ReferenceEquals(head, to)) Drop();
        while (start == head!.Filled && !ReferenceEquals(head, tail))
        {
            Drop();
            start = 0;
        }

        // A receive that runs writes where it was told to.
        if (start != head.Filled || receiving) return;
        head.Empty();
        start = 0;
    }

    /// <summary>Gives all blocks back. No receive may run.</summary>
    public void Free()
    {
        while (head is not null) Drop();
        tail = null;
        Unexamined = 0;
    }

    private void Drop()
    {
        var gone = head!;
        head = (Block?)gone.Next;
        gone.Return();
    }

    private sealed class Block : ReadOnlySequenceSegment<byte>
    {
        private readonly IMemoryOwner<byte> owner;
        private readonly Memory<byte> all;

        public Block(IMemoryOwner<byte> owner, long index)
        {
            this.owner = owner;
            all = owner.Memory;
            RunningIndex = index;
        }

        public int Filled => Memory.Length;

        public Memory<byte> Free => all[Filled..];

        public void Fill(int count) => Memory = all[..(Filled + count)];

        public void Empty()
        {
            Memory = default;
            RunningIndex = 0;
        }

        public Block Append(IMemoryOwner<byte> next)
        {
            var block = new Block(next, RunningIndex + Filled);
            Next = block;
            return block;
        }

        public void Return() => owner.Dispose();
    }
}
