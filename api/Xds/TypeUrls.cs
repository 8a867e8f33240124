using System.Globalization;
using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace Mesh.Api.Xds;

/// <summary>The type URLs of xDS resources and of the messages inside them. Stateless.</summary>
public static class TypeUrls
{
    /// <summary>What stands before the message's full name.</summary>
    public const string Prefix = "type.googleapis.com/";

    /// <summary>LDS.</summary>
    public const string Listener = Prefix + "envoy.config.listener.v3.Listener";

    /// <summary>RDS.</summary>
    public const string RouteConfiguration = Prefix + "envoy.config.route.v3.RouteConfiguration";

    /// <summary>CDS.</summary>
    public const string Cluster = Prefix + "envoy.config.cluster.v3.Cluster";

    /// <summary>EDS.</summary>
    public const string ClusterLoadAssignment = Prefix + "envoy.config.endpoint.v3.ClusterLoadAssignment";

    /// <summary>SDS.</summary>
    public const string Secret = Prefix + "envoy.extensions.transport_sockets.tls.v3.Secret";

    /// <summary>The revoked identities: this mesh's own type, one resource named <see cref="RevocationsName"/>.</summary>
    public const string IdentityRevocations = Prefix + "mesh.v1.IdentityRevocations";

    /// <summary>The name of the one resource of type <see cref="IdentityRevocations"/>.</summary>
    public const string RevocationsName = "revocations";

    /// <summary>The names of services and their addresses: this mesh's own type, one resource named <see cref="NamesName"/>.</summary>
    public const string NameTable = Prefix + "mesh.v1.NameTable";

    /// <summary>The name of the one resource of type <see cref="NameTable"/>.</summary>
    public const string NamesName = "names";

    /// <summary>The mesh's own addresses and the outbound policy: this mesh's own type, resources named <see cref="RangesName"/> and <see cref="WorkloadsName"/>.</summary>
    public const string MeshRanges = Prefix + "mesh.v1.MeshRanges";

    /// <summary>The name of the resource of type <see cref="MeshRanges"/> that says what the operator said.</summary>
    public const string RangesName = "ranges";

    /// <summary>How many resources of type <see cref="MeshRanges"/> hold the addresses of workloads.</summary>
    public const int WorkloadsParts = 64;

    /// <summary>The name of one of these.</summary>
    public static string WorkloadsName(int part) => string.Create(CultureInfo.InvariantCulture, $"workloads/{part}");

    /// <summary>Key of <c>Cluster.typed_extension_protocol_options</c> for the HTTP options.</summary>
    public const string HttpProtocolOptionsKey = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

    /// <summary>The type URL of a message.</summary>
    public static string Of(MessageDescriptor descriptor) => Prefix + descriptor.FullName;

    /// <summary>Whether a type URL, whatever its prefix, names this message.</summary>
    public static bool Names(string typeUrl, MessageDescriptor descriptor) =>
        typeUrl.AsSpan(typeUrl.LastIndexOf('/') + 1).SequenceEqual(descriptor.FullName);

    /// <summary>LDS, RDS, CDS, EDS or SDS; an unknown type's message name.</summary>
    public static string ShortName(string typeUrl) => typeUrl switch
    {
        Listener => "LDS",
        RouteConfiguration => "RDS",
        Cluster => "CDS",
        ClusterLoadAssignment => "EDS",
        Secret => "SDS",
        IdentityRevocations => "revocations",
        NameTable => "names",
        MeshRanges => "ranges",
        _ => typeUrl[(typeUrl.LastIndexOf('/') + 1)..],
    };

    /// <summary>The name a resource is subscribed by; null when the message is no resource.</summary>
    public static string? NameOf(IMessage resource) => resource switch
    {
        Envoy.Config.Listener.V3.Listener listener => listener.Name,
        Envoy.Config.Route.V3.RouteConfiguration routes => routes.Name,
        Envoy.Config.Cluster.V3.Cluster cluster => cluster.Name,
        Envoy.Config.Endpoint.V3.ClusterLoadAssignment endpoints => endpoints.ClusterName,
        Envoy.Extensions.TransportSockets.Tls.V3.Secret secret => secret.Name,
        V1.IdentityRevocations => RevocationsName,
        V1.NameTable => NamesName,
        V1.MeshRanges ranges => ranges.Name.Length > 0 ? ranges.Name : RangesName,
        _ => null,
    };
}
