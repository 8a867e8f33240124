using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model;

/// <summary>Where a service outside of the mesh is, as its document says. Immutable.</summary>
/// <param name="Resolution">How its addresses are found.</param>
/// <param name="Endpoints">Its endpoints; <see cref="InstancePort.AppPort"/> is the number of the service's port. Empty where clients choose the address.</param>
public sealed record ExternalPlace(ExternalResolution Resolution, ImmutableArray<Instance> Endpoints);

/// <summary>How the addresses of a service outside of the mesh are found.</summary>
public enum ExternalResolution
{
    /// <summary>The client has them: a connection goes on to the address it was made to.</summary>
    ByClient,

    /// <summary>They are written in the document.</summary>
    Written,

    /// <summary>By DNS, where the sidecar is.</summary>
    Dns,
}

/// <summary>A document of a service outside of the mesh -> Service. No instance of the mesh serves it, whatever it is registered as. Pure.</summary>
internal static class ExternalService
{
    /// <summary>Gives each port its endpoints.</summary>
    public static Service Resolve(ServiceDocument document, ExternalPlace place, Notices notices) => new()
    {
        Name = document.Name,
        Ports = [.. document.Ports.Select(port => new ResolvedPort(port.Port, port.Name, port.Protocol, Endpoints(document.Name, port, place, notices)))],
        ClusterIPs = document.ClusterIPs,
        External = place.Resolution,
        Source = document.Source,
    };

    private static ImmutableArray<Endpoint> Endpoints(ServiceName name, ServicePort port, ExternalPlace place, Notices notices)
    {
        var endpoints = new EndpointList();
        foreach (var instance in place.Endpoints)
        {
            foreach (var target in instance.Ports)
            {
                if (target.AppPort == port.Port) endpoints.Add(instance with { Service = name.Name }, target);
            }
        }

        return endpoints.Done(name, notices);
    }
}
