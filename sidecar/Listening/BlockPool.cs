using System.Buffers;
using System.Collections.Concurrent;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Blocks of 4 KiB for what HTTP connections receive, given back and used again. Thread safe; lives as long as the data path. Keeps at most
/// <see cref="MostKept"/> blocks; larger pieces are not pooled.
/// </summary>
internal sealed class BlockPool : MemoryPool<byte>
{
    private const int BlockSize = 4096;
    private const int MostKept = 1024;
    private readonly ConcurrentQueue<Block> free = new();

    /// <inheritdoc/>
    public override int MaxBufferSize => int.MaxValue;

    /// <inheritdoc/>
    public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
    {
        if (minBufferSize > BlockSize) return new Block(null, minBufferSize);
        return free.TryDequeue(out var block) ? block : new Block(this, BlockSize);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => free.Clear();

    private void Return(Block block)
    {
        if (free.Count < MostKept) free.Enqueue(block);
    }

    private sealed class Block(BlockPool? pool, int size) : IMemoryOwner<byte>
    {
        public Memory<byte> Memory { get; } = GC.AllocateUninitializedArray<byte>(size);

        public void Dispose() => pool?.Return(this);
    }
}
