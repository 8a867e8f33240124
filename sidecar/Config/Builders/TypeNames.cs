using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>Compares types by their full name, whatever stands before the last slash of a type URL. Pure.</summary>
internal static class TypeNames
{
    /// <summary>The full message name in a type URL.</summary>
    public static string NameOf(string typeUrl) => typeUrl[(typeUrl.LastIndexOf('/') + 1)..];

    /// <summary>True when <paramref name="any"/> holds a message of this type.</summary>
    public static bool Holds(this Any? any, MessageDescriptor descriptor) =>
        any is not null && any.TypeUrl.AsSpan(any.TypeUrl.LastIndexOf('/') + 1).SequenceEqual(descriptor.FullName);
}
