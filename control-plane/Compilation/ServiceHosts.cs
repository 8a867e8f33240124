using System.Collections.Immutable;
using System.Globalization;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>Which host names mean which service. Pure.</summary>
internal static class ServiceHosts
{
    private const string ConsulDomain = ".service.consul";

    /// <summary>Host names of a service without port, the full one first.</summary>
    /// <param name="name">The service.</param>
    /// <param name="bare">True when the bare name means it for the client: see <see cref="BareNameMeans"/>.</param>
    public static ImmutableArray<string> Of(ServiceName name, bool bare)
    {
        if (name.IsHost) return [name.Name];
        var qualified = $"{name.Name}.{name.Namespace}";
        return bare
            ? [name.Host, qualified + ".svc", qualified, name.Name, name.Name + ConsulDomain]
            : [name.Host, qualified + ".svc", qualified];
    }

    /// <summary>
    /// Domains of one port of a service: every host with the port, and without it for the default port.
    /// Where a registry knows one port only, any port a client names means that one.
    /// </summary>
    public static IEnumerable<string> Domains(Service service, ResolvedPort port, bool bare)
    {
        var hosts = Of(service.Name, bare).AddRange(service.ClusterIPs.Select(Bracketed));
        foreach (var host in hosts)
        {
            if (ReferenceEquals(port, service.DefaultPort) && port.Protocol != AppProtocol.Tcp) yield return host;
            yield return string.Create(CultureInfo.InvariantCulture, $"{host}:{port.Port}");
            if (service.AnyPort) yield return host + ":*";
        }
    }

    /// <summary>
    /// The bare name <c>web</c> means the service of the client's own namespace, else that of the default namespace.
    /// </summary>
    public static bool BareNameMeans(ServiceName service, string client, Func<ServiceName, bool> exists) =>
        !service.IsHost && (service.Namespace == client
        || (service.Namespace == ServiceName.DefaultNamespace && !exists(service with { Namespace = client })));

    /// <summary>The services a host (without port) can mean to a client, the first that exists counts; the last is a host outside of the mesh.</summary>
    public static ImmutableArray<ServiceName> Meanings(string host, string client)
    {
        host = host.ToLowerInvariant();
        ImmutableArray<ServiceName> outside = ServiceName.IsValidHost(host) ? [ServiceName.OfHost(host)] : [];
        var whole = host.Length;
        if (host.EndsWith(ConsulDomain, StringComparison.Ordinal)) host = host[..^ConsulDomain.Length];
        else if (host.EndsWith(".svc." + ServiceName.ClusterDomain, StringComparison.Ordinal)) host = host[..^(ServiceName.ClusterDomain.Length + 5)];
        else if (host.EndsWith(".svc", StringComparison.Ordinal)) host = host[..^4];

        if (host.Length < whole) outside = []; // names of the mesh's own
        var labels = host.Split('.');
        if (labels.Length > 2 || !Array.TrueForAll(labels, ServiceName.IsValid)) return outside;
        if (labels.Length == 2) return [new ServiceName(labels[1], labels[0]), .. outside];
        return client == ServiceName.DefaultNamespace
            ? [new ServiceName(client, host)]
            : [new ServiceName(client, host), new ServiceName(ServiceName.DefaultNamespace, host)];
    }

    private static string Bracketed(string address) => address.Contains(':', StringComparison.Ordinal) ? $"[{address}]" : address;
}
