namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// A bounded queue for many writers and one reader that neither locks nor allocates (D. Vyukov's scheme: each slot carries the number of
/// the turn it is ready for). A write to a full ring fails at once.
/// </summary>
internal sealed class BoundedRing<T>
{
    private readonly Slot[] slots;
    private readonly int mask;
    private long tail;
    private long head;

    /// <summary>A ring of <paramref name="size"/> slots, a power of two.</summary>
    public BoundedRing(int size)
    {
        slots = new Slot[size];
        mask = size - 1;
        for (var i = 0; i < size; i++) slots[i].Turn = i;
    }

    /// <summary>Appends; false when full.</summary>
    public bool TryWrite(in T item)
    {
        while (true)
        {
            var position = Volatile.Read(ref tail);
            ref var slot = ref slots[position & mask];
            var lead = Volatile.Read(ref slot.Turn) - position;
            if (lead < 0) return false;
            if (lead > 0 || Interlocked.CompareExchange(ref tail, position + 1, position) != position) continue;
            slot.Item = item;
            Volatile.Write(ref slot.Turn, position + 1);
            return true;
        }
    }

    /// <summary>Takes the oldest; false when empty. One reader only.</summary>
    public bool TryRead(out T item)
    {
        ref var slot = ref slots[head & mask];
        if (Volatile.Read(ref slot.Turn) != head + 1)
        {
            item = default!;
            return false;
        }

        item = slot.Item;
        slot.Item = default!;
        Volatile.Write(ref slot.Turn, head + slots.Length);
        head++;
        return true;
    }

    private struct Slot
    {
        public long Turn;
        public T Item;
    }
}
