using Mesh.Api.Operators;
using Mesh.ControlPlane.Admin.Traffic;
using Mesh.ControlPlane.Model;
using Endpoint = Mesh.ControlPlane.Model.Endpoint;

namespace Mesh.ControlPlane.Admin;

/// <summary>The world as operators see it: services with endpoints and rules, and what they received. Pure.</summary>
internal static class ServiceReport
{
    /// <summary>All services by namespace and name.</summary>
    public static ServiceList Of(World world) => new([.. InOrder(world).Select(Of)]);

    /// <summary>All services with their traffic.</summary>
    public static StatList Stat(World world, TrafficWindow window, int seconds)
    {
        var inbound = window.Inbound(seconds);
        return new StatList(seconds, [.. InOrder(world).Select(service =>
        {
            var instances = Endpoints(service).Select(e => e.Instance).DistinctBy(i => i.Id).ToList();
            return new ServiceTraffic
            {
                Name = service.Name.Name,
                Namespace = service.Name.Namespace,
                Total = instances.Count,
                Meshed = instances.Count(i => i.Meshed),
                Traffic = inbound.GetValueOrDefault((service.Name.Namespace, service.Name.Name)),
            };
        })]);
    }

    private static IEnumerable<Service> InOrder(World world) => world.Services.Values.OrderBy(s => s.Name);

    private static IEnumerable<Endpoint> Endpoints(Service service) => service.Ports.SelectMany(p => p.Endpoints);

    private static ServiceStatus Of(Service service) => new()
    {
        Name = service.Name.Name,
        Namespace = service.Name.Namespace,
        Host = service.Name.Host,
        Source = service.Source.Location,
        Ports = [.. service.Ports.Select(p => new ServicePortStatus(p.Port, p.Name, p.Protocol.ToString().ToLowerInvariant()))],
        Endpoints = [.. Endpoints(service).OrderBy(e => e.Instance.Id, StringComparer.Ordinal).ThenBy(e => e.Port).Select(e => new EndpointStatus
        {
            Id = e.Instance.Id,
            Address = e.Address.Contains(':', StringComparison.Ordinal) ? $"[{e.Address}]:{e.Port}" : $"{e.Address}:{e.Port}",
            Version = e.Instance.Version,
            Zone = e.Instance.Zone,
            Health = HealthOf(e.Instance.Health),
            Meshed = e.Instance.Meshed,
        })],
        Rules = [.. service.Routes.Select(r => $"{r.Source.Kind}/{r.Name.Name} ({r.Source.Location})")],
    };

    private static string HealthOf(InstanceHealth health) => health switch
    {
        InstanceHealth.Passing => "HEALTHY",
        InstanceHealth.Warning => "DEGRADED",
        InstanceHealth.Draining => "DRAINING",
        _ => "UNHEALTHY",
    };
}
