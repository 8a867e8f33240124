using System.Globalization;
using System.Net;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Admin.Authz;

/// <summary>The workloads behind a service port, as far as policies tell them apart. Immutable.</summary>
/// <param name="Service">The service.</param>
/// <param name="Port">Its port.</param>
/// <param name="Authority">The host as the caller names it.</param>
/// <param name="Workloads">Who serves it; at least one.</param>
internal sealed record Destination(Service Service, ResolvedPort Port, string Authority, IReadOnlyList<Destination.Workload> Workloads)
{
    /// <summary>Finds what <c>cart:8080</c>, <c>cart.shop:8080</c> or <c>cart</c> means; null and an error when it means nothing.</summary>
    public static Destination? Find(string text, string callerNamespace, World world, out string error)
    {
        var colon = text.LastIndexOf(':');
        var number = 0;
        var hasPort = colon > 0;
        var host = hasPort ? text[..colon] : text;
        error = $"to: '{text}' is not SERVICE:PORT or SERVICE.NAMESPACE:PORT";
        if (hasPort && (!int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out number) || number is 0 or > 65535)) return null;
        var meanings = ServiceHosts.Meanings(host, callerNamespace);
        if (meanings.IsEmpty) return null;
        error = $"there is no service {meanings[0]}";
        var service = meanings.Select(name => world.Services.GetValueOrDefault(name)).FirstOrDefault(found => found is not null);
        if (service is null) return null;
        var port = hasPort ? service.PortFor(number) : service.DefaultPort;
        error = $"{service.Name} has no port {number}: it has {string.Join(", ", service.Ports.Select(has => has.Port))}";
        return port is null ? null : new Destination(service, port, text, WorkloadsOf(service, port));
    }

    private static IReadOnlyList<Workload> WorkloadsOf(Service service, ResolvedPort port)
    {
        if (port.Endpoints.IsEmpty)
        {
            // Nobody serves it now: what would hold for a workload with nothing but the service's name.
            var labels = System.Collections.Immutable.ImmutableSortedDictionary<string, string>.Empty.Add("app", service.Name.Name);
            return [new Workload("", new WorkloadTraits(service.Name.Namespace, service.Name.Name, labels), port.Port, port.Protocol, IPAddress.Loopback, HasSidecar: true, HasIdentity: true)];
        }

        return [.. port.Endpoints.Select(endpoint =>
        {
            var own = endpoint.Instance.Ports.FirstOrDefault(candidate => candidate.Port == endpoint.Port);
            return new Workload(
                endpoint.Instance.Id, WorkloadTraits.Of(endpoint.Instance), own?.AppPort ?? endpoint.Port, own?.Protocol ?? port.Protocol,
                IPAddress.TryParse(endpoint.Address, out var address) ? address : IPAddress.None, endpoint.Instance.Meshed, endpoint.Instance.Identity.Length > 0);
        })];
    }

    /// <summary>One workload, at the port that serves.</summary>
    /// <param name="Id">Its id; empty for one that is only thought of.</param>
    /// <param name="Traits">What policies select it by.</param>
    /// <param name="Port">The application's port, which policies name.</param>
    /// <param name="Protocol">What is spoken there.</param>
    /// <param name="Address">Where it is called.</param>
    /// <param name="HasSidecar">True when something enforces policies there.</param>
    /// <param name="HasIdentity">True when it can take mutual TLS.</param>
    public sealed record Workload(string Id, WorkloadTraits Traits, int Port, AppProtocol Protocol, IPAddress Address, bool HasSidecar, bool HasIdentity);
}
