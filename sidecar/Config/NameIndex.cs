using System.Collections.Immutable;

namespace Mesh.Sidecar.Config;

/// <summary>
/// Finds texts in a blob of bytes: open addressing over their hashes, four bytes a slot, and no object for a text. The hash is seeded by the process,
/// so nobody makes names that collide. Immutable; thread safe.
/// </summary>
internal sealed class NameIndex
{
    private readonly byte[] blob;
    private readonly ImmutableArray<NameKey> keys;
    private readonly int[] slots; // key + 1; 0 is free

    /// <summary>An index of texts in <paramref name="blob"/>. Of equal texts the first is found.</summary>
    public NameIndex(byte[] blob, ImmutableArray<NameKey> keys)
    {
        (this.blob, this.keys) = (blob, keys);
        slots = new int[(int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(2, keys.Length * 3 / 2))];
        for (var i = 0; i < keys.Length; i++)
        {
            var text = TextOf(i);
            if (Find(text) >= 0) continue;
            var slot = SlotOf(text);
            while (slots[slot] != 0) slot = (slot + 1) & (slots.Length - 1);
            slots[slot] = i + 1;
        }
    }

    /// <summary>How many texts there are.</summary>
    public int Count => keys.Length;

    /// <summary>Number of the key with this text; -1 when there is none.</summary>
    public int Find(ReadOnlySpan<byte> text)
    {
        for (var slot = SlotOf(text); slots[slot] != 0; slot = (slot + 1) & (slots.Length - 1))
        {
            if (TextOf(slots[slot] - 1).SequenceEqual(text)) return slots[slot] - 1;
        }

        return -1;
    }

    /// <summary>What the key stands for.</summary>
    public int EntryOf(int key) => keys[key].Entry;

    private ReadOnlySpan<byte> TextOf(int key) => blob.AsSpan(keys[key].Start, keys[key].Length);

    private int SlotOf(ReadOnlySpan<byte> text)
    {
        var hash = default(HashCode);
        hash.AddBytes(text);
        return hash.ToHashCode() & (slots.Length - 1);
    }
}

/// <summary>A text in a blob, and what it stands for.</summary>
internal readonly record struct NameKey(int Start, byte Length, int Entry);
