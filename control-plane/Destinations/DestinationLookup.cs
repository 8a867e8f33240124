using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Destinations;

/// <summary>
/// What may be sent to an address and port, by what a world knows: whoever proves an identity there is to be asked for it, whatever else a registry
/// says of the same address; plaintext is allowed only when all is known there is to know. Pure.
/// </summary>
internal static class DestinationLookup
{
    private const int MetricsPort = 15020;
    private const int ReadinessPort = 15021;

    /// <summary>Answers.</summary>
    /// <param name="index">The world.</param>
    /// <param name="connected">The captured nodes at the address that are connected, or were a moment ago.</param>
    /// <param name="destination">The address, no mapped one, and the port.</param>
    /// <param name="isComplete">True when the world has all that sources can tell.</param>
    /// <returns>Null when nothing is known and more may be to come.</returns>
    public static Destination? Answer(DestinationIndex index, IReadOnlyList<CapturedNode> connected, IPEndPoint destination, bool isComplete)
    {
        var (world, address, port) = (index.World, destination.Address, destination.Port);
        var there = index.Instances(address).Where(instance => Takes(instance, port)).ToArray();
        if (IsSidecars(there, connected, port)) return isComplete ? new Destination(DestinationVerdict.NotMeshed) { Reason = $"{port} is asked of a sidecar as it is, for metrics and readiness" } : null;
        var proving = there.Where(instance => instance.Identity.Length > 0 && ModeOf(world, instance, port) != TlsMode.Disable).ToArray();
        if (proving.Length > 0) return Meshed(world, proving);
        // Whoever follows the control plane takes mutual TLS, before it is registered and while others still reach it.
        if (!IsOfServices(index, address) && connected.Where(node => world.Policies.ModeOf(node.Traits, port) != TlsMode.Disable).ToArray() is { Length: > 0 } nodes) return Meshed(nodes);
        if (there.FirstOrDefault(instance => IsRequired(world, instance)) is { } unproved)
            return Refused(unproved, $"{NameOf(unproved)} requires an identity, and {unproved.Id} has none that counts");

        var answer = there.Length > 0 ? Plain(there[0], $"{there[0].Id} takes plaintext on port {port}")
            : OfService(index, address, port) ?? new Destination(DestinationVerdict.NotMeshed) { Reason = $"nobody registered {new IPEndPoint(address, port)}" };
        return answer.Verdict != DestinationVerdict.NotMeshed || isComplete ? answer : null;
    }

    // The rules of a captured workload leave these to whoever asks; nobody there speaks mutual TLS. Of all others they are ports like any.
    private static bool IsSidecars(Instance[] there, IReadOnlyList<CapturedNode> connected, int port) =>
        port is MetricsPort or ReadinessPort && (there.Length > 0 || connected.Count > 0)
        && there.All(instance => instance.Captured && !instance.Ports.Any(known => known.Port == port));

    // A sidecar that takes all ports is before each; else only the ports that were registered are anybody's.
    private static bool Takes(Instance instance, int port) => instance.Captured || instance.Ports.Any(known => known.Port == port);

    private static TlsMode ModeOf(World world, Instance instance, int port) =>
        world.Policies.ModeOf(WorkloadTraits.Of(instance), instance.Ports.FirstOrDefault(known => known.Port == port)?.AppPort ?? port);

    private static bool IsRequired(World world, Instance instance) => instance.Service.Length > 0 && world.Authority.IsRequired(NameOf(instance));

    private static ServiceName NameOf(Instance instance) => new(instance.Namespace, instance.Service);

    private static Destination Meshed(CapturedNode[] nodes) => new(DestinationVerdict.Meshed)
    {
        Identities = [.. nodes.Select(node => node.Identity).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)],
        Reason = $"{nodes[0].Workload} is connected, and its traffic is captured",
        Service = nodes[0].Traits.Service.Length > 0 ? new ServiceName(nodes[0].Traits.Namespace, nodes[0].Traits.Service).Host : "",
        Workload = nodes[0].Workload,
        Namespace = nodes[0].Traits.Namespace,
    };

    // No node has these, whatever it says.
    private static bool IsOfServices(DestinationIndex index, IPAddress address) => index.Services(address).Any() || IsVirtual(index.World, address);

    private static bool IsVirtual(World world, IPAddress address) =>
        world.Network.VirtualRanges.Any(range => range.BaseAddress.AddressFamily == address.AddressFamily && range.Contains(address));

    private static Destination Meshed(World world, Instance[] proving)
    {
        // More than one while an address changes hands: either may be there.
        var identities = proving.SelectMany(instance => IdentitiesOf(world, instance)).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal);
        return Of(proving[0], DestinationVerdict.Meshed, $"{proving[0].Id} is a workload of the mesh") with { Identities = [.. identities] };
    }

    // As for endpoints: what it says of itself counts only within what its service may be served with.
    private static IEnumerable<string> IdentitiesOf(World world, Instance instance)
    {
        if (instance.Service.Length == 0) return [instance.Identity];
        var serving = world.Authority.ServingIdentities(NameOf(instance));
        return serving.Contains(instance.Identity, StringComparer.Ordinal) ? [instance.Identity] : serving;
    }

    private static Destination? OfService(DestinationIndex index, IPAddress address, int port)
    {
        var world = index.World;
        if (index.Services(address).OrderBy(service => service.Name).FirstOrDefault() is not { } service)
        {
            return IsVirtual(world, address)
                ? new Destination(DestinationVerdict.Refused) { Reason = $"{address} is a virtual address that no service has (any more): look its name up again" }
                : null;
        }

        var known = new Destination(DestinationVerdict.Refused) { Service = service.Name.Host, Namespace = service.Name.Namespace };
        if (service.PortFor(port) is not { } served)
            return known with { Reason = string.Create(CultureInfo.InvariantCulture, $"{address} is {service.Name}, which has no port {port}") };
        var takers = served.Endpoints.Count(endpoint => endpoint.TakesTls(world.Policies));
        if (takers > 0 && takers == served.Endpoints.Length)
            return known with { Verdict = DestinationVerdict.Meshed, Identities = world.Authority.ServingIdentities(service.Name), Reason = $"all endpoints of {service.Name} are of the mesh" };
        if (takers > 0) return known with { Reason = $"some endpoints of {service.Name} take mutual TLS and some do not: which of them {address} leads to is not known here" };
        if (service.NeedsAddress || world.Authority.IsRequired(service.Name)) return known with { Reason = $"{address} is {service.Name}, which nobody serves that may" };
        return known with { Verdict = DestinationVerdict.NotMeshed, Reason = $"no endpoint of {service.Name} takes mutual TLS" };
    }

    private static Destination Plain(Instance instance, string reason) => Of(instance, DestinationVerdict.NotMeshed, reason);

    private static Destination Refused(Instance instance, string reason) => Of(instance, DestinationVerdict.Refused, reason);

    private static Destination Of(Instance instance, DestinationVerdict verdict, string reason) => new(verdict)
    {
        Reason = reason,
        Service = instance.Service.Length > 0 ? NameOf(instance).Host : "",
        Workload = instance.Workload,
        Namespace = instance.Namespace,
    };
}

/// <summary>What stands behind an address and port. Immutable.</summary>
/// <param name="Verdict">What may be sent there.</param>
internal sealed record Destination(DestinationVerdict Verdict)
{
    /// <summary>Host of its service, may be empty.</summary>
    public string Service { get; init; } = "";

    /// <summary>One of these is proved there.</summary>
    public ImmutableArray<string> Identities { get; init; } = [];

    /// <summary>Why, for people.</summary>
    public string Reason { get; init; } = "";

    /// <summary>Its workload, may be empty.</summary>
    public string Workload { get; init; } = "";

    /// <summary>Its namespace, may be empty.</summary>
    public string Namespace { get; init; } = "";
}

/// <summary>What may be sent to a destination.</summary>
internal enum DestinationVerdict
{
    /// <summary>Mutual TLS.</summary>
    Meshed,

    /// <summary>Plaintext.</summary>
    NotMeshed,

    /// <summary>Nothing.</summary>
    Refused,
}
