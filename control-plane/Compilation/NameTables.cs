using System.Collections.Immutable;
using System.Net;
using Google.Protobuf;
using Mesh.Api.V1;
using Mesh.Api.Xds;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>The table of names for clients of a namespace, with what it was put together from. Immutable.</summary>
/// <param name="Parts">The services and hosts, by name.</param>
/// <param name="Table">The packed table, as the one resource of its type.</param>
internal sealed record NameTables(ImmutableArray<IMessage> Parts, ResourceSet Table)
{
    private static IEqualityComparer<IMessage> ByReference => ReferenceEqualityComparer.Instance;

    /// <summary>Puts names together; the same parts as in <paramref name="previous"/> give that one.</summary>
    public static NameTables From(ImmutableArray<IMessage> parts, NameTables? previous)
    {
        if (previous is not null && previous.Parts.AsSpan().SequenceEqual(parts.AsSpan(), ByReference)) return previous;
        var table = new NameTable { ClusterDomain = ServiceName.ClusterDomain, Services = { parts.OfType<NameTable.Types.Service>() }, Externals = { parts.OfType<NameTable.Types.External>() } };
        return new NameTables(parts, ResourceSet.From([Resource.Of(TypeUrls.NamesName, table)], previous?.Table));
    }

    /// <summary>What the table says of a service, or of a host outside of the mesh.</summary>
    public static IMessage Entry(Service service, ImmutableArray<string> addresses, bool bare) => service.Name.IsHost
        ? new NameTable.Types.External { Host = service.Name.Name, Addresses = { addresses.Select(Bytes) } }
        : Of(service, addresses, bare);

    private static NameTable.Types.Service Of(Service service, ImmutableArray<string> addresses, bool bare) => new()
    {
        Name = service.Name.Name,
        Namespace = service.Name.Namespace == ServiceName.DefaultNamespace ? "" : service.Name.Namespace,
        Bare = bare,
        Addresses = { addresses.Select(Bytes) },
        InstancesOf = service is { Headless: true, Ports: [var port, ..] } ? XdsNames.Cluster(service.Name, port.Port) : "",
    };

    private static ByteString Bytes(string address) => ByteString.CopyFrom(IPAddress.Parse(address).GetAddressBytes());
}
