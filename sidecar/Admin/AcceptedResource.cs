using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Xds;

namespace Mesh.Sidecar.Admin;

/// <summary>An xDS resource as it was accepted. Immutable.</summary>
internal sealed record AcceptedResource(string TypeUrl, string Name, string Version, IMessage Message)
{
    /// <summary>Reads one that serves; <paramref name="versions"/> has the version of each type.</summary>
    public static AcceptedResource Of(Any any, IReadOnlyDictionary<string, string> versions)
    {
        IMessage message = any.TypeUrl switch
        {
            TypeUrls.Listener => Envoy.Config.Listener.V3.Listener.Parser.ParseFrom(any.Value),
            TypeUrls.Cluster => Envoy.Config.Cluster.V3.Cluster.Parser.ParseFrom(any.Value),
            TypeUrls.MeshRanges => Mesh.Api.V1.MeshRanges.Parser.ParseFrom(any.Value),
            TypeUrls.NameTable => Mesh.Api.V1.NameTable.Parser.ParseFrom(any.Value),
            TypeUrls.Secret => Envoy.Extensions.TransportSockets.Tls.V3.Secret.Parser.ParseFrom(any.Value),
            TypeUrls.RouteConfiguration => Envoy.Config.Route.V3.RouteConfiguration.Parser.ParseFrom(any.Value),
            _ => Envoy.Config.Endpoint.V3.ClusterLoadAssignment.Parser.ParseFrom(any.Value),
        };
        return new AcceptedResource(any.TypeUrl, TypeUrls.NameOf(message) ?? "", versions.GetValueOrDefault(any.TypeUrl, ""), message);
    }
}
