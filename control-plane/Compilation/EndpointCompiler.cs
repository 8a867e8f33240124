using System.Collections.Immutable;
using System.Net;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Mesh.ControlPlane.Model;
using Endpoint = Envoy.Config.Endpoint.V3.Endpoint;
using ModelEndpoint = Mesh.ControlPlane.Model.Endpoint;

namespace Mesh.ControlPlane.Compilation;

/// <summary>Endpoints of a port -> ClusterLoadAssignment. Pure.</summary>
internal static class EndpointCompiler
{
    private const int MostWeight = 100_000;

    /// <summary>True when an endpoint is a host name, which EDS cannot carry.</summary>
    public static bool HasNames(ImmutableArray<ModelEndpoint> endpoints) => endpoints.Any(endpoint => !IsAddress(endpoint));

    /// <summary>True when the cluster holds the endpoints itself: what is not an address, and what is not of the mesh, which no sidecar may take for an instance.</summary>
    public static bool AreInCluster(Service service, ResolvedPort port) => service.External is not null || HasNames(port.Endpoints);

    /// <summary>
    /// One locality for each zone. An assignment without endpoints is a value too: without it a client would wait for one.
    /// </summary>
    /// <param name="cluster">The cluster's name.</param>
    /// <param name="endpoints">The endpoints.</param>
    /// <param name="security">Says which endpoints take mutual TLS, and whose proof counts; null for none.</param>
    /// <param name="named">True for a headless service, whose instances have names below its own.</param>
    public static ClusterLoadAssignment Compile(string cluster, IEnumerable<ModelEndpoint> endpoints, ServiceSecurity? security = null, bool named = false)
    {
        var assignment = new ClusterLoadAssignment { ClusterName = cluster };
        ModelEndpoint[] all = [.. endpoints];
        var divisor = Divisor(all);
        foreach (var zone in all.GroupBy(endpoint => endpoint.Instance.Zone).OrderBy(group => group.Key, StringComparer.Ordinal))
        {
            var locality = new LocalityLbEndpoints { Locality = new Locality { Zone = zone.Key } };
            uint sum = 0;
            foreach (var endpoint in zone)
            {
                var weight = (uint)Math.Max(1, Weight(endpoint) / divisor);
                sum += weight;
                locality.LbEndpoints.Add(Compile(endpoint, weight, security, named));
            }

            // gRPC drops a locality without locality message or without weight.
            locality.LoadBalancingWeight = sum;
            assignment.Endpoints.Add(locality);
        }

        return assignment;
    }

    /// <summary>Only endpoints that are IP addresses.</summary>
    public static IEnumerable<ModelEndpoint> Addresses(ImmutableArray<ModelEndpoint> endpoints) => endpoints.Where(IsAddress);

    /// <summary>An xDS socket address.</summary>
    public static Address SocketAddress(string address, int port) => new()
    {
        SocketAddress = new Envoy.Config.Core.V3.SocketAddress { Address = address, PortValue = (uint)port },
    };

    // Clients add weights up in 32 bits and refuse what does not fit. Half of that leaves room for those that are lifted to the least weight.
    private static long Divisor(ModelEndpoint[] endpoints) => (endpoints.Sum(Weight) / (uint.MaxValue / 2)) + 1;

    private static long Weight(ModelEndpoint endpoint) => Math.Clamp(endpoint.Instance.Weight, 1, MostWeight);

    private static LbEndpoint Compile(ModelEndpoint endpoint, uint weight, ServiceSecurity? security, bool named)
    {
        var mutual = security is not null && endpoint.TakesTls(security.Policies);
        // Only an identity that clients accept of the service anyway: it narrows what they expect of this one endpoint, and never widens it.
        var identity = mutual && security!.Identities.Contains(endpoint.Instance.Identity, StringComparer.Ordinal) ? endpoint.Instance.Identity : "";
        return new LbEndpoint
        {
            Endpoint = new Endpoint
            {
                Address = SocketAddress(endpoint.Address, endpoint.Port),
                Hostname = named ? HostnameOf(endpoint.Instance) : "",
                AdditionalAddresses = { endpoint.Instance.MoreAddresses.Select(more => new Endpoint.Types.AdditionalAddress { Address = SocketAddress(more, endpoint.Port) }) },
            },
            LoadBalancingWeight = weight,
            Metadata = MeshMetadata.Of(endpoint.Instance, mutual, identity),
        };
    }

    // A workload's id is what it is told apart by; where it can be a name, it is one.
    private static string HostnameOf(Instance instance) =>
        instance.Hostname.Length > 0 ? instance.Hostname : instance.Meshed && ServiceName.IsValid(instance.Id) && !instance.Id.Contains('_') ? instance.Id : "";

    private static bool IsAddress(ModelEndpoint endpoint) => IPAddress.TryParse(endpoint.Address, out _);
}
