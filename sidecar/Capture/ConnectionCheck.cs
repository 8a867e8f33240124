using System.Net;
using System.Net.Sockets;

namespace Mesh.Sidecar.Capture;

/// <summary>
/// Proves by connections what rules only promise: each is seen arriving at the sidecar's port (<see cref="Witness"/>, or the kernel's table of sockets), or it
/// is said that it is not. The sidecar need not be there, and nothing is put in its place. Used once, on one thread.
/// </summary>
internal sealed class ConnectionCheck(CaptureOptions options)
{
    /// <summary>Ports that are looked at for one nobody listens at.</summary>
    private const int MostLookedAt = 64;

    /// <summary>Connections that programs here open, DNS queries included.</summary>
    public IEnumerable<Finding> Outbound()
    {
        var sender = new CapturedSender(options);
        if (sender.Trouble(options) is { } trouble)
        {
            yield return trouble;
            yield break;
        }

        if (options.OnlyUids.Length > 0 && options.Cgroup is { } cgroup) yield return Finding.Note($"outbound is tried as the user, not in the cgroup {cgroup}");
        var queries = new QueryCheck(options.DnsTo, sender);
        foreach (var family in Families())
        {
            var range = RuleFamilies.Only(options.VirtualRanges, family).Select(n => (IPNetwork?)n).FirstOrDefault();
            var to = range is { } network ? new IPEndPoint(Last(network), 80) : null;
            yield return to is null
                ? Finding.Note($"{Name(family)}: there is no virtual range, so no address to try outbound capture with")
                : Attempt.Judge($"outbound {Name(family)}: a connection to {to}", new IPEndPoint(Loopback(family), options.OutboundTo), tell => sender.As(() => Probe.Connect(to, tell)));
            if (!options.Dns) continue;
            foreach (var server in (options.Resolvers ?? []).Where(r => r.AddressFamily == family)) yield return queries.Ask(server);
        }

        if (!options.Dns) yield return Finding.Note("DNS is not captured (--dns off)");
    }

    /// <summary>Connections from elsewhere: from a namespace that exists for the moment, over a cable to this one.</summary>
    public IEnumerable<Finding> Inbound()
    {
        if (!options.CapturesInbound) return [Finding.Note("inbound connections are not captured: --inbound-ports says which")];
        if (options.IncludeInterfaces.Length > 0) return [Finding.Note("inbound capture cannot be tried: --include-interfaces names those of the network only")];
        if (InboundPort() is not { } port) return [Finding.Broken("no inbound port is captured: those of --inbound-ports are excluded, or the sidecar's own")];
        // Where TPROXY hands a connection to shows only when something takes it: for this moment, and where the sidecar does not.
        var listeners = options.Mode == CaptureMode.Tproxy ? Families().Select(f => Probe.Listen(new IPEndPoint(Any(f), options.InboundTo))).ToList() : [];
        try
        {
            var findings = new OutsideCable(Families().Contains(AddressFamily.InterNetworkV6)).FromOutside((outside, address) =>
                FromElsewhere(outside, new IPEndPoint(address, port), listeners.Find(l => l?.AddressFamily == address.AddressFamily)));
            return [.. findings, .. listeners.Any(l => l is not null) ? [Finding.Note($"nothing listens on {options.InboundTo} yet: inbound connections are refused until the sidecar does")] : Array.Empty<Finding>()];
        }
        finally
        {
            foreach (var listener in listeners) listener?.Dispose();
        }
    }

    private Finding FromElsewhere(Func<Func<Attempt>, Attempt> outside, IPEndPoint to, Socket? standIn)
    {
        var family = to.AddressFamily;
        var what = $"inbound {Name(family)}: a connection from elsewhere to port {to.Port}";
        if (options.Mode == CaptureMode.Tproxy && SocketTable.HasListener(to.Port, family)) return Finding.Note($"{what} is not tried: a program listens there itself, and it could be that one");
        var at = new IPEndPoint(to.Address, options.Mode == CaptureMode.Redirect ? options.InboundTo : to.Port);
        return Attempt.Judge(what, at, tell => outside(() => Probe.Connect(to, from => { tell?.Invoke(from); Admit(standIn, from); })), options.Mode == CaptureMode.Tproxy);
    }

    /// <summary>The check's own connection and nobody else's: those of clients wait, and find the sidecar or nobody a second later.</summary>
    private static void Admit(Socket? standIn, int from)
    {
        if (standIn is not null) SocketFilter.FromPort(from, hasHeader: false).Attach(standIn);
    }

    /// <summary>A captured port, if possible one at which no program listens; null when every captured one is excluded, too.</summary>
    private int? InboundPort()
    {
        var captured = (options.InboundPorts ?? [new PortRange(47_000, 57_000)])
            .SelectMany(r => Enumerable.Range(r.First, r.Last - r.First + 1)).Where(p => !Named(options, p)).Take(MostLookedAt).ToList();
        return captured.Where(p => !SocketTable.HasListener(p, AddressFamily.InterNetwork)).Concat(captured).Select(p => (int?)p).FirstOrDefault();
    }

    private IEnumerable<AddressFamily> Families() => options.Ipv6 && CaptureSystem.HasIpv6 ? [AddressFamily.InterNetwork, AddressFamily.InterNetworkV6] : [AddressFamily.InterNetwork];

    private static bool Named(CaptureOptions o, int port) =>
        o.SidecarPorts.Concat(o.ExcludeInboundPorts).Any(r => r.First <= port && port <= r.Last);

    private static string Name(AddressFamily family) => family == AddressFamily.InterNetwork ? "IPv4" : "IPv6";

    private static IPAddress Loopback(AddressFamily family) => family == AddressFamily.InterNetwork ? IPAddress.Loopback : IPAddress.IPv6Loopback;

    private static IPAddress Any(AddressFamily family) => family == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any;

    /// <summary>The last address but one: given to services from the front, it is nobody's (the very last of class E is broadcast).</summary>
    private static IPAddress Last(IPNetwork network)
    {
        var bytes = network.BaseAddress.GetAddressBytes();
        for (var bit = network.PrefixLength; bit < bytes.Length * 8 - 1; bit++) bytes[bit / 8] |= (byte)(0x80 >> (bit % 8));
        return new IPAddress(bytes);
    }
}
