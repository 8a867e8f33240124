using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Mesh.Api.Xds;

/// <summary>A resource ready to be sent: packed, named, with its content version. Immutable; share it freely.</summary>
public sealed record XdsResource
{
    private XdsResource(string name, Any packed, string version) => (Name, Packed, Version) = (name, packed, version);

    /// <summary>The name it is subscribed by.</summary>
    public string Name { get; }

    /// <summary>The resource as it travels.</summary>
    public Any Packed { get; }

    /// <summary>The hash of its content.</summary>
    public string Version { get; }

    /// <summary>Its type.</summary>
    public string TypeUrl => Packed.TypeUrl;

    /// <summary>Packs a listener, route configuration, cluster, load assignment or secret.</summary>
    public static XdsResource Of(IMessage resource)
    {
        var name = TypeUrls.NameOf(resource)
            ?? throw new ArgumentException($"{resource.Descriptor.FullName} is no xDS resource", nameof(resource));
        var packed = Packing.Pack(resource);
        return new XdsResource(name, packed, ResourceVersion.Of(packed.Value));
    }
}
