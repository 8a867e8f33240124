using System.Net;
using System.Net.Sockets;

namespace Mesh.Sidecar.Capture;

/// <summary>
/// Proves by connections what rules only promise. Where the sidecar is not listening (yet), listens in its place for the moment. Where a connection
/// arrived, the kernel's table of sockets tells. Used once, on one thread.
/// </summary>
internal sealed class ConnectionCheck(CaptureOptions options)
{
    /// <summary>Connections that programs here open, DNS queries included.</summary>
    public IEnumerable<Finding> Outbound()
    {
        if (options.OnlyUids.Length == 0 && options.Cgroup is { } cgroup && CgroupTrouble(cgroup) is { } trouble)
        {
            yield return trouble;
            yield break;
        }

        foreach (var family in Families())
        {
            var range = RuleFamilies.Only(options.VirtualRanges, family).Select(n => (IPNetwork?)n).FirstOrDefault();
            if (range is null) yield return Finding.Note($"{Name(family)}: there is no virtual range, so no address to try outbound capture with");
            else yield return Connection(family, new IPEndPoint(Last(range.Value), 80));
            if (!options.Dns) continue;
            foreach (var server in (options.Resolvers ?? []).Where(r => r.AddressFamily == family).Take(1)) yield return Query(server);
        }

        if (!options.Dns) yield return Finding.Note("DNS is not captured (--dns off)");
    }

    /// <summary>Connections from elsewhere: from a namespace that exists for the moment, over a cable to this one.</summary>
    public IEnumerable<Finding> Inbound()
    {
        if (!options.CapturesInbound) return [Finding.Note("inbound connections are not captured: --inbound-ports says which")];
        if (options.IncludeInterfaces.Length > 0) return [Finding.Note("inbound capture cannot be tried: --include-interfaces names those of the network only")];
        if (InboundPort() is not { } port) return [Finding.Broken("no inbound port is captured: those of --inbound-ports are excluded, or the sidecar's own")];
        var listeners = Families().Select(f => Probe.Listen(new IPEndPoint(Any(f), options.InboundTo), options.Mode == CaptureMode.Tproxy)).ToList();
        try
        {
            var findings = new OutsideCable(Families().Contains(AddressFamily.InterNetworkV6)).FromOutside((family, address) => FromElsewhere(family, new IPEndPoint(address, port)));
            return [.. findings, .. listeners.Any(l => l is not null) ? [Finding.Note($"nothing listens on {options.InboundTo} yet: inbound connections are refused until the sidecar does")] : Array.Empty<Finding>()];
        }
        finally
        {
            foreach (var listener in listeners) listener?.Dispose();
        }
    }

    /// <summary>A captured port, if possible one at which no program listens; null when every captured one is excluded, too.</summary>
    private int? InboundPort() => (options.InboundPorts ?? [new PortRange(47_000, 57_000)])
        .SelectMany(r => Enumerable.Range(r.First, r.Last - r.First + 1)).Where(p => !Named(options, p)).Select(p => (int?)p).FirstOrDefault();

    private Finding Connection(AddressFamily family, IPEndPoint to)
    {
        var at = new IPEndPoint(Loopback(family), options.OutboundTo);
        using var stand = Probe.Listen(at, false);
        return ProbeThread.RunAs(options.OnlyUids.Length > 0 ? options.OnlyUids[0] : null, () =>
        {
            var (socket, failure) = Probe.Connect(to);
            using (socket)
            {
                var what = $"outbound {Name(family)}: a connection to {to}";
                if (socket is null) return Finding.Broken($"{what} does not get to the sidecar: {failure}");
                return SocketTable.ArrivedAt((IPEndPoint)socket.LocalEndPoint!) is { } arrived && arrived.Port != options.OutboundTo
                    ? Finding.Broken($"{what} arrives at {arrived} instead of {at}")
                    : Finding.Works($"{what} arrives at {at}{(stand is null ? "" : " (nothing listens there yet: refused until the sidecar does)")}");
            }
        });
    }

    private Finding Query(IPAddress server)
    {
        var at = new IPEndPoint(Loopback(server.AddressFamily), options.DnsTo);
        var what = $"DNS: a query to {server}";
        using var stand = Probe.Receive(at);
        return ProbeThread.RunAs(options.OnlyUids.Length > 0 ? options.OnlyUids[0] : null, () =>
        {
            if (stand is null)
            {
                // The sidecar answers UDP, if not where it arrived; TCP shows that.
                if (Probe.WhyNoAnswer(new IPEndPoint(server, 53)) is { } silence) return Finding.Broken($"{what} gets no answer: {silence}");
                var (socket, failure) = Probe.Connect(new IPEndPoint(server, 53));
                using (socket)
                {
                    if (socket is null) return Finding.Broken($"{what} over TCP: {failure}");
                    return SocketTable.ArrivedAt((IPEndPoint)socket.LocalEndPoint!) is { } arrived && arrived.Port != options.DnsTo
                        ? Finding.Broken($"{what} arrives at {arrived} instead of {at}")
                        : Finding.Works($"{what} arrives at {at}, and is answered");
                }
            }

            var echo = Echo(stand);
            var why = Probe.WhyNoAnswer(new IPEndPoint(server, 53));
            stand.Dispose();
            return echo.Result
                ? Finding.Works($"{what} arrives at {at} (nothing listens there yet: no answers until the sidecar does)")
                : Finding.Broken($"{what} does not get to the sidecar's {at}: {why ?? "another program answers"}");
        });
    }

    /// <summary>Sends one datagram back; true when it came.</summary>
    private static async Task<bool> Echo(Socket socket)
    {
        try
        {
            var buffer = new byte[512];
            var from = new IPEndPoint(socket.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, 0);
            var got = await socket.ReceiveFromAsync(buffer, SocketFlags.None, from).ConfigureAwait(false);
            await socket.SendToAsync(buffer.AsMemory(0, got.ReceivedBytes), SocketFlags.None, got.RemoteEndPoint).ConfigureAwait(false);
            return true;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return false;
        }
    }

    /// <summary>On the outside thread; what arrived is looked up on this side.</summary>
    private Func<Finding> FromElsewhere(AddressFamily family, IPEndPoint to)
    {
        var what = $"inbound {Name(family)}: a connection from elsewhere to port {to.Port}";
        var (socket, failure) = Probe.Connect(to);
        if (socket is null) return () => Finding.Broken($"{what} does not get to the sidecar: {failure}");
        return () =>
        {
            using (socket)
            {
                var arrived = SocketTable.ArrivedAt((IPEndPoint)socket.LocalEndPoint!);
                var expected = options.Mode == CaptureMode.Redirect ? options.InboundTo : to.Port;
                return arrived is not null && arrived.Port != expected
                    ? Finding.Broken($"{what} arrives at {arrived} instead of the sidecar's {options.InboundTo}")
                    : arrived is not null && options.Mode == CaptureMode.Tproxy && SocketTable.HasListener(to.Port, family)
                        ? Finding.Note($"{what} is taken, but a program listens there itself: it may be that one")
                        : Finding.Works($"{what} arrives at the sidecar's {options.InboundTo}");
            }
        };
    }

    /// <summary>This process becomes one of the cgroup for the rest of its short life.</summary>
    private static Finding? CgroupTrouble(string cgroup)
    {
        try
        {
            var root = File.Exists("/sys/fs/cgroup/cgroup.procs") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
            File.WriteAllText(Path.Combine(root, cgroup, "cgroup.procs"), "0");
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Finding.Broken($"outbound cannot be tried: this process cannot join the cgroup {cgroup} ({e.Message})");
        }
    }

    private IEnumerable<AddressFamily> Families() => options.Ipv6 ? [AddressFamily.InterNetwork, AddressFamily.InterNetworkV6] : [AddressFamily.InterNetwork];

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
