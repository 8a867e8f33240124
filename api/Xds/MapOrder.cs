using System.Collections;
using System.Collections.Concurrent;
using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace Mesh.Api.Xds;

/// <summary>
/// Puts the maps inside a message into key order: maps are written in the order they were filled, so equal messages would
/// otherwise have different bytes and look changed. Stateless but for a cache of which messages can hold maps at all.
/// </summary>
internal static class MapOrder
{
    private static readonly ConcurrentDictionary<MessageDescriptor, bool> MayHoldMaps = new();

    /// <summary>Whether every map in the message is in key order already.</summary>
    public static bool Holds(IMessage message) => Walk(message, repair: false);

    /// <summary>Reorders what is not. The message must not be shared with other threads.</summary>
    public static void Establish(IMessage message) => Walk(message, repair: true);

    private static bool Walk(IMessage message, bool repair)
    {
        if (!CanHoldMaps(message.Descriptor))
            return true;
        foreach (var field in message.Descriptor.Fields.InFieldNumberOrder())
        {
            if (field.FieldType != FieldType.Message || (!field.IsMap && !CanHoldMaps(field.MessageType)))
                continue;
            if (!WalkValue(field.Accessor.GetValue(message), field, repair))
                return false;
        }

        return true;
    }

    private static bool WalkValue(object? value, FieldDescriptor field, bool repair)
    {
        if (field.IsMap)
            return WalkMap((IDictionary)value!, repair);
        if (!field.IsRepeated)
            return value is not IMessage single || Walk(single, repair);
        foreach (IMessage element in (IList)value!)
        {
            if (!Walk(element, repair))
                return false;
        }

        return true;
    }

    private static bool WalkMap(IDictionary map, bool repair)
    {
        if (!IsOrdered(map))
        {
            if (!repair)
                return false;
            List<DictionaryEntry> entries = [];
            foreach (DictionaryEntry entry in map)
                entries.Add(entry);
            map.Clear();
            foreach (var entry in entries.OrderBy(e => e.Key, Comparer<object>.Create(Compare)))
                map.Add(entry.Key, entry.Value);
        }

        foreach (DictionaryEntry entry in map)
        {
            if (entry.Value is IMessage value && !Walk(value, repair))
                return false;
        }

        return true;
    }

    private static bool IsOrdered(IDictionary map)
    {
        object? previous = null;
        foreach (DictionaryEntry entry in map)
        {
            if (previous is not null && Compare(previous, entry.Key) > 0)
                return false;
            previous = entry.Key;
        }

        return true;
    }

    private static int Compare(object a, object b) => a is string s && b is string t ? string.CompareOrdinal(s, t) : ((IComparable)a).CompareTo(b);

    private static bool CanHoldMaps(MessageDescriptor descriptor)
    {
        if (MayHoldMaps.TryGetValue(descriptor, out var known))
            return known;
        // Everything reachable is visited once; a cycle (Struct in Value in Struct) ends at the set.
        HashSet<MessageDescriptor> seen = [descriptor];
        Queue<MessageDescriptor> open = new([descriptor]);
        var found = false;
        while (!found && open.TryDequeue(out var next))
        {
            foreach (var field in next.Fields.InDeclarationOrder())
            {
                if (field.IsMap)
                    found = true;
                else if (field.FieldType == FieldType.Message && seen.Add(field.MessageType))
                    open.Enqueue(field.MessageType);
            }
        }

        return MayHoldMaps[descriptor] = found;
    }
}
