using System.Collections.Immutable;
using System.Net.Sockets;
using Mesh.Api.Logging;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Dns;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar;

/// <summary>Puts the resolver together: its sockets, its numbers. Stateless.</summary>
internal static class NameServer
{
    private const string ResolvConf = "/etc/resolv.conf";

    private static readonly ImmutableArray<(DnsOutcome Outcome, string Name, string Help)> Numbers =
    [
        (DnsOutcome.Mesh, "mesh", "DNS queries for names of the mesh answered with addresses."),
        (DnsOutcome.MeshNothing, "mesh_nodata", "DNS queries for names of the mesh that have nothing of the type asked for."),
        (DnsOutcome.Forwarded, "forwarded", "DNS queries answered by the machine's resolvers."),
        (DnsOutcome.Unanswered, "unanswered", "DNS queries that none of the machine's resolvers answered (SERVFAIL)."),
        (DnsOutcome.Unknown, "unknown", "DNS queries that may be for names of the mesh, before these were known (SERVFAIL)."),
        (DnsOutcome.Loop, "loops", "DNS queries of this sidecar that came back to it (REFUSED)."),
        (DnsOutcome.OverLimit, "over_limit", "DNS queries and connections refused, since as many as may be were on their way."),
        (DnsOutcome.Malformed, "malformed", "DNS queries that were malformed or asked for what nobody here does (FORMERR, NOTIMP)."),
        (DnsOutcome.Dropped, "dropped", "DNS messages that were not answered: too short, or themselves answers."),
        (DnsOutcome.Forged, "forged", "Answers of resolvers that were not to what was asked; not passed on."),
        (DnsOutcome.Fault, "faults", "DNS messages lost to a fault of the network or of this sidecar."),
    ];

    /// <summary>The resolver of a captured workload, started; null where its queries are left alone.</summary>
    public static DnsServer? Start(Workload workload, BoundSockets sockets, Snapshots snapshots, SidecarMetrics own, TimeProvider time, Log log)
    {
        if (workload.Capture is not { Dns: { IsEmpty: false } addresses }) return null;
        ImmutableArray<Socket> taken = [.. addresses.SelectMany(a => new[] { sockets.TakeDatagrams("--dns", a), sockets.Take("--dns", a) })];
        var file = new ResolverFile(ResolvConf, time, log);
        _ = file.Current; // what is wrong with it is said at the start
        var ports = new QueryPorts(File.Exists(QueryPorts.KernelsRange) ? File.ReadAllText(QueryPorts.KernelsRange) : "");
        if (ports.AreTooFew) log.Warn("nearly all ports are the kernel's to give: where rules capture queries, some go astray, since this program's cannot be told from others'", ("file", QueryPorts.KernelsRange), ("do", "leave 1,024 ports beside that range"));
        var server = new DnsServer(taken, snapshots, file, ports, time, new Randomness(Randomness.NewSeed()));
        foreach (var (outcome, name, help) in Numbers) own.Observe($"mesh_sidecar_dns_{name}_total", help, grows: true, () => server.Counters[outcome]);
        own.Observe("mesh_sidecar_dns_in_flight", "DNS queries that wait for the machine's resolvers.", grows: false, () => server.Counters.InFlight);
        server.Start();
        return server;
    }
}
