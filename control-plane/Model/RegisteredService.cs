using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model;

/// <summary>Instances registered under one name, with no Service document -> Service. Pure.</summary>
internal static class RegisteredService
{
    /// <summary>
    /// Ports are what the instances declare. Where each instance has one port, that is the service's one port even when the numbers differ
    /// (instances on one machine, dynamic ports of a scheduler); where they have several, ports of one name, else of one number, belong together.
    /// The number of a one port is kept from <paramref name="previous"/>: it names the cluster, which should outlive the instance it came from.
    /// </summary>
    public static Service Resolve(ServiceName name, List<Instance> members, Service? previous, Notices notices)
    {
        var kept = previous is { AnyPort: true, FromRegistry: true } ? previous.Ports[0].Port : (int?)null;
        var groups = Group(members);
        var ports = ImmutableArray.CreateBuilder<ResolvedPort>(groups.Count);
        foreach (var group in groups)
        {
            var number = groups.Count == 1 && kept is { } old ? old : CommonNumber(group.Members);
            if (ports.Any(port => port.Port == number))
            {
                notices.Add(members[0].Source, $"instances of {name} use port {number} under two names: only the first is served; name the ports alike");
                continue;
            }

            var endpoints = new EndpointList();
            foreach (var (instance, port) in group.Members) endpoints.Add(instance, port);
            ports.Add(new ResolvedPort(number, group.Name, Protocol(name, number, group.Members, notices), endpoints.Done(name, notices)));
        }

        return new Service
        {
            Name = name,
            Ports = ports.ToImmutable(),
            AnyPort = ports.Count == 1,
            FromRegistry = true,
            Source = Source(name, members),
        };
    }

    private static List<PortGroup> Group(List<Instance> members)
    {
        var groups = new List<PortGroup>();
        var alike = members.TrueForAll(instance => instance.Ports.Length <= 1)
            && members.SelectMany(instance => instance.Ports).Select(port => port.Name).Where(text => text.Length > 0).Distinct(StringComparer.Ordinal).Count() <= 1;
        foreach (var instance in members)
        {
            foreach (var port in instance.Ports)
            {
                var group = groups.Find(candidate => alike || candidate.Takes(port));
                if (group is null) groups.Add(group = new PortGroup(port));
                group.Members.Add((instance, port));
            }
        }

        return groups;
    }

    // The number most instances use, the lowest of several: it does not change when one of many instances comes or goes.
    private static int CommonNumber(List<(Instance Instance, InstancePort Port)> members) =>
        members.CountBy(member => member.Port.AppPort).OrderByDescending(count => count.Value).ThenBy(count => count.Key).First().Key;

    private static AppProtocol Protocol(ServiceName name, int number, List<(Instance Instance, InstancePort Port)> members, Notices notices)
    {
        var protocol = AppProtocol.Unknown;
        foreach (var (instance, port) in members)
        {
            if (port.Protocol == AppProtocol.Unknown || port.Protocol == protocol) continue;
            if (protocol == AppProtocol.Unknown)
            {
                protocol = port.Protocol;
                continue;
            }

            notices.Add(instance.Source,
                $"instances of {name} disagree on the protocol of port {number} ({protocol} and {port.Protocol}, {instance.Id}): it is detected on each connection");
            return AppProtocol.Unknown;
        }

        return protocol;
    }

    private static Provenance Source(ServiceName name, List<Instance> members) =>
        new(members[0].Source.Kind, name.Namespace, name.Name, members[0].Source.Location);

    /// <summary>Ports of several instances that are one port of the service.</summary>
    private sealed class PortGroup(InstancePort first)
    {
        public string Name { get; } = first.Name;

        public List<(Instance Instance, InstancePort Port)> Members { get; } = [];

        public bool Takes(InstancePort port) =>
            Name.Length > 0 || port.Name.Length > 0 ? Name == port.Name : Members[0].Port.AppPort == port.AppPort;
    }
}
