using System.Collections.Immutable;
using System.Globalization;

namespace Mesh.ControlPlane.Model;

/// <summary>Service document + instances -> Service, as Kubernetes resolves ports. Pure.</summary>
internal static class DocumentedService
{
    /// <summary>Finds the port of each of its instances.</summary>
    public static Service Resolve(ServiceDocument document, List<Instance> members, ImmutableArray<EndpointSliceDocument> slices, Notices notices)
    {
        if (document.External is { } place) return ExternalService.Resolve(document, place, notices);
        if (members.Count == 0 && slices.Length == 0) notices.Add(document.Source, NobodyServes(document));

        var ports = ImmutableArray.CreateBuilder<ResolvedPort>(document.Ports.Length);
        foreach (var port in document.Ports) ports.Add(Resolve(document, port, members, slices, notices));
        return new Service
        {
            Name = document.Name,
            Ports = ports.MoveToImmutable(),
            ClusterIPs = document.ClusterIPs,
            Headless = document.Headless,
            Source = document.Source,
        };
    }

    private static ResolvedPort Resolve(
        ServiceDocument document, ServicePort port, List<Instance> members, ImmutableArray<EndpointSliceDocument> slices, Notices notices)
    {
        var endpoints = new EndpointList();
        Instance? without = null;
        Instance? contrary = null;
        foreach (var instance in members)
        {
            if (Target(instance, port) is not { } target)
            {
                without ??= instance;
                continue;
            }

            if (Contradicts(port.Protocol, target.Protocol)) contrary ??= instance;
            endpoints.Add(instance, target);
        }

        foreach (var instance in slices.SelectMany(slice => slice.Endpoints))
        {
            // An EndpointSlice names the port of the service, not of the pod (Kubernetes, EndpointSlice ports).
            foreach (var target in instance.Ports)
            {
                if (target.Name == port.Name) endpoints.Add(instance, target);
            }
        }

        Explain(document, port, without, contrary, notices);
        return new ResolvedPort(port.Port, port.Name, port.Protocol, endpoints.Done(document.Name, notices));
    }

    private static InstancePort? Target(Instance instance, ServicePort port)
    {
        var wanted = port.TargetPort.Length == 0 ? port.Port : Number(port.TargetPort);
        foreach (var candidate in instance.Ports)
        {
            if (wanted is { } number ? candidate.AppPort == number : candidate.Name == port.TargetPort) return candidate;
        }

        // A Pod document need not list the ports its containers listen on; without a sidecar any number can be dialled, and with one that takes all.
        var isOpen = wanted is not null && (instance.Captured || (!instance.Meshed && instance.Service.Length == 0));
        return isOpen ? new InstancePort("", wanted!.Value, port.Protocol, wanted.Value) : null;
    }

    private static int? Number(string targetPort) =>
        int.TryParse(targetPort, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

    private static bool Contradicts(AppProtocol documented, AppProtocol registered) =>
        documented != AppProtocol.Unknown && registered != AppProtocol.Unknown
        && (documented == AppProtocol.Tcp) != (registered == AppProtocol.Tcp);

    private static void Explain(ServiceDocument document, ServicePort port, Instance? without, Instance? contrary, Notices notices)
    {
        var target = port.TargetPort.Length == 0 ? port.Port.ToString(CultureInfo.InvariantCulture) : port.TargetPort;
        if (without is not null)
        {
            var has = without.Ports.Length == 0 ? "none" : string.Join(", ", without.Ports.Select(Describe));
            notices.Add(document.Source,
                $"instance {without.Id} of {document.Name} has no port {target} (it has {has}): it serves nothing on port {port.Port}; correct targetPort");
        }

        if (contrary is not null)
        {
            notices.Add(document.Source,
                $"port {port.Port} of {document.Name} is {Text(port.Protocol)} in the document, but instance {contrary.Id} registered otherwise: the document is followed");
        }
    }

    private static string Describe(InstancePort port) => port.Name.Length == 0 ? $"{port.AppPort}" : $"{port.AppPort} \"{port.Name}\"";

    private static string Text(AppProtocol protocol) => protocol.ToString().ToLowerInvariant();

    private static string NobodyServes(ServiceDocument document) => document.Selector is { } selector
        ? $"no instance in namespace {document.Name.Namespace} carries the labels {string.Join(",", selector.Select(label => $"{label.Key}={label.Value}"))}: requests to {document.Name} are answered with 503"
        : $"nothing is registered as {document.Name} and it has no EndpointSlice: requests to it are answered with 503";
}
