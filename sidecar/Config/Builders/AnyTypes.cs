using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Xds;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>Asks what an optional Any holds. Pure.</summary>
internal static class AnyTypes
{
    /// <summary>True when <paramref name="any"/> is there and holds a message of this type.</summary>
    public static bool Holds(this Any? any, MessageDescriptor descriptor) => any is not null && TypeUrls.Names(any.TypeUrl, descriptor);
}
