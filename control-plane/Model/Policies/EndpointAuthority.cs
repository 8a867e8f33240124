using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model.Policies;

/// <summary>
/// Takes out of services the endpoints that would not be believed: an instance whose identity may not serve the service, and, where the
/// service is marked <c>required</c>, one that cannot prove an identity at all. Pure but for the services given.
/// </summary>
internal static class EndpointAuthority
{
    /// <summary>Filters all services; those that lose nothing keep their object.</summary>
    public static void Apply(Dictionary<ServiceName, Service> services, ServiceAuthority authority, PolicySet policies, Notices notices)
    {
        List<Service>? changed = null;
        foreach (var service in services.Values)
        {
            var required = authority.IsRequired(service.Name);
            if (!required && !HasIdentities(service)) continue;
            var check = new Check(authority.ServingIdentities(service.Name), required, policies);
            if (Filter(service, check, notices) is { } filtered) (changed ??= []).Add(filtered);
        }

        foreach (var service in changed ?? []) services[service.Name] = service;
    }

    private static bool HasIdentities(Service service)
    {
        foreach (var port in service.Ports)
        {
            foreach (var endpoint in port.Endpoints)
            {
                if (endpoint.Instance.Identity.Length > 0) return true;
            }
        }

        return false;
    }

    private static Service? Filter(Service service, Check check, Notices notices)
    {
        HashSet<string>? told = null;
        var ports = service.Ports;
        for (var i = 0; i < ports.Length; i++)
        {
            var kept = ports[i].Endpoints.RemoveAll(endpoint =>
            {
                if (check.Problem(endpoint) is not { } problem) return false;
                if ((told ??= new HashSet<string>(StringComparer.Ordinal)).Add(endpoint.Instance.Id))
                    notices.Add(endpoint.Instance.Source, $"instance {endpoint.Instance.Id} gets no traffic of {service.Name}: {problem}");
                return true;
            });
            if (kept.Length != ports[i].Endpoints.Length) ports = ports.SetItem(i, ports[i] with { Endpoints = kept });
        }

        return told is null ? null : service with { Ports = ports };
    }

    private sealed record Check(ImmutableArray<string> Serving, bool Required, PolicySet Policies)
    {
        public string? Problem(Endpoint endpoint)
        {
            var identity = endpoint.Instance.Identity;
            if (identity.Length > 0 && !Serving.Contains(identity, StringComparer.Ordinal))
                return $"its identity {identity} may not serve it, only {string.Join(", ", Serving)}; write a ServiceIdentity if it should";
            if (!Required || endpoint.TakesTls(Policies)) return null;
            return identity.Length == 0
                ? "the service's ServiceIdentity is in mode required, and the instance has no identity"
                : "the service's ServiceIdentity is in mode required, and a PeerAuthentication disables mutual TLS on its port";
        }
    }
}
