using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Mesh.ControlPlane.Compilation;

/// <summary>One compiled xDS resource: packed once, shared by every node that gets it. Immutable; do not change <see cref="Body"/>.</summary>
/// <param name="Name">The resource's name.</param>
/// <param name="Body">The packed message.</param>
/// <param name="Version">Hash of the message's deterministic bytes.</param>
internal sealed record Resource(string Name, Any Body, string Version)
{
    /// <summary>Packs a message whose maps were filled in sorted order.</summary>
    public static Resource Of(string name, IMessage message)
    {
        var body = Any.Pack(message);
        var hash = System.Security.Cryptography.SHA256.HashData(body.Value.Span);
        return new Resource(name, body, Convert.ToHexStringLower(hash.AsSpan(0, 8)));
    }
}
