using System.Text;

namespace Mesh.Sidecar.Http;

/// <summary>
/// Header fields in the order they are sent; a name may come several times. Reused from message to message by one owner at a time:
/// slots keep their old strings, so that a peer that sends the same fields again costs no new ones.
/// </summary>
internal sealed class HeaderList
{
    private Field[] fields = new Field[16];

    /// <summary>Number of fields.</summary>
    public int Count { get; private set; }

    /// <summary>A field by position.</summary>
    public ref readonly Field this[int index] => ref fields[index];

    /// <summary>Forgets all fields.</summary>
    public void Clear() => Count = 0;

    /// <summary>Adds a field.</summary>
    public void Add(string name, string value) => Add(name, value, FieldRules.KindOf(name));

    /// <summary>Adds a field whose kind is known.</summary>
    public void Add(string name, string value, FieldKind kind) => Slot() = new Field(name, value, kind);

    /// <summary>
    /// Adds a field from the wire when its slot holds an equal one already, which was looked at when it came first; else false, and nothing happens.
    /// </summary>
    public bool TryRepeat(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        if (Count == fields.Length) return false;
        ref var slot = ref fields[Count];
        if (slot.Name is null || !Ascii.Equals(name, slot.Name) || !Ascii.Equals(value, slot.Value)) return false;
        Count++;
        return true;
    }

    /// <summary>Adds a field from the wire (Latin-1), with the strings that stand in its slot already when they are equal.</summary>
    public void Add(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        ref var slot = ref Slot();
        var sameName = slot.Name is not null && Ascii.Equals(name, slot.Name);
        var sameValue = slot.Value is not null && Ascii.Equals(value, slot.Value);
        if (sameName && sameValue) return;
        var text = sameName ? slot.Name! : Encoding.Latin1.GetString(name);
        slot = new Field(text, sameValue ? slot.Value! : Encoding.Latin1.GetString(value), sameName ? slot.Kind : FieldRules.KindOf(text));
    }

    /// <summary>The first value of a name, or null.</summary>
    public string? Find(string name)
    {
        for (var i = 0; i < Count; i++)
        {
            if (fields[i].Name.Equals(name, StringComparison.OrdinalIgnoreCase)) return fields[i].Value;
        }

        return null;
    }

    /// <summary>Removes all fields of a name.</summary>
    public void Remove(ReadOnlySpan<char> name)
    {
        var kept = 0;
        for (var i = 0; i < Count; i++)
        {
            if (!name.Equals(fields[i].Name, StringComparison.OrdinalIgnoreCase)) fields[kept++] = fields[i];
        }

        Count = kept;
    }

    private ref Field Slot()
    {
        if (Count == fields.Length) Array.Resize(ref fields, Count * 2);
        return ref fields[Count++];
    }

    /// <summary>One header field.</summary>
    internal readonly record struct Field(string Name, string Value, FieldKind Kind);
}
