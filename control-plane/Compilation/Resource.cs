using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Xds;

namespace Mesh.ControlPlane.Compilation;

/// <summary>One compiled xDS resource: packed once, shared by every node that gets it. Immutable; do not change <see cref="Body"/>.</summary>
/// <param name="Name">The resource's name.</param>
/// <param name="Body">The packed message.</param>
/// <param name="Version">Hash of the message's deterministic bytes.</param>
internal sealed record Resource(string Name, Any Body, string Version)
{
    /// <summary>
    /// Packs a message whose maps were filled in sorted order, as this folder does: what <see cref="Packing.Pack"/> gives,
    /// without a walk over a route configuration of a thousand services to make sure.
    /// </summary>
    public static Resource Of(string name, IMessage message)
    {
        var body = new Any { TypeUrl = TypeUrls.Of(message.Descriptor), Value = message.ToByteString() };
        return new Resource(name, body, ResourceVersion.Of(body.Value));
    }
}
