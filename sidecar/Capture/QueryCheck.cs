using System.Net;
using System.Net.Sockets;

namespace Mesh.Sidecar.Capture;

/// <summary>Proves that queries to a DNS server arrive at the sidecar, over UDP and over TCP. Used on one thread.</summary>
internal sealed class QueryCheck(int port, CapturedSender sender)
{
    /// <summary>Asks one server.</summary>
    public Finding Ask(IPAddress server)
    {
        var at = new IPEndPoint(server.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Loopback : IPAddress.IPv6Loopback, port);
        var to = new IPEndPoint(server, 53);
        var udp = Datagram($"DNS: a query to {server}", to, at);
        if (udp.Grade == Grade.Broken) return udp;
        var tcp = Attempt.Judge($"DNS: a query to {server} over TCP", at, tell => sender.As(() => Probe.Connect(to, tell)));
        return tcp.Grade == Grade.Broken ? tcp : udp;
    }

    private Finding Datagram(string what, IPEndPoint to, IPEndPoint at)
    {
        using var witness = Witness.Watch(at.AddressFamily, ProtocolType.Udp);
        var (silence, from) = sender.As(() => Probe.Ask(to, witness));
        var arrived = witness?.ArrivedAt(from);
        if (arrived is { } elsewhere && elsewhere != at.Port) return Finding.Broken($"{what} arrives at port {elsewhere} instead of {at}");
        if (witness is not null && arrived is null) return Finding.Broken($"{what} does not get to the sidecar's {at}: {silence ?? "a program elsewhere answers"}");
        if (silence is null) return Finding.Works($"{what} arrives at {at}, and is answered");
        if (silence != Probe.Refused) return Finding.Broken($"{what} gets no answer: {silence}");
        return witness is null
            ? Finding.Note($"{what} is not proved: nothing answers, and seeing it arrive all the same takes CAP_NET_RAW")
            : Finding.Works($"{what} arrives at {at} (nothing listens there yet: no answers until the sidecar does)");
    }
}
