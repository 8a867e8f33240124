using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Testbed.Network;

/// <summary>
/// A small network of machines, each a namespace with a cable to a switch: LAN n is 10.8n.0.0/24 and fd88:n+1::/64, a router (.1, ::1) connects the LANs.
/// Everything is gone with it; what a killed run left is removed by the next one. For one test or one fixture; its parts may be used at the same time.
/// </summary>
internal sealed class NetworkTestbed : IAsyncDisposable
{
    private readonly List<NetworkHost> hosts = [];
    private readonly HashSet<int> lans = [];
    private readonly Lock gate = new();

    private NetworkTestbed(NetworkNamespace router) => Router = router;

    /// <summary>The switches and the router between them.</summary>
    public NetworkNamespace Router { get; }

    /// <summary>The machines.</summary>
    public IReadOnlyList<NetworkHost> Hosts => hosts;

    /// <summary>Makes an empty network; skips the test, with the reason, where that cannot be.</summary>
    public static NetworkTestbed Create()
    {
        var router = NetworkNamespace.Create("router");
        try
        {
            router.Must("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding 2>/dev/null || true");
            return new NetworkTestbed(router);
        }
        catch
        {
            router.Dispose();
            throw;
        }
    }

    /// <summary>Adds a machine with an address of each family in a LAN, and so many more of each.</summary>
    /// <param name="name">Its name; at most 12 letters.</param>
    /// <param name="lan">Which LAN.</param>
    /// <param name="moreAddresses">Further addresses of each family.</param>
    public NetworkHost Add(string name, int lan = 0, int moreAddresses = 0)
    {
        lock (gate)
        {
            Lay(lan);
            var first = 10 + hosts.Sum(h => h.Addresses.Count);
            var numbers = Enumerable.Range(first, 1 + moreAddresses);
            var host = new NetworkHost(name, this, [.. numbers.Select(n => $"10.8{lan}.0.{n}")], [.. numbers.Select(n => $"fd88:{lan + 1}::{n}")]);
            hosts.Add(host);
            Router.Ip($"link add {name} type veth peer name eth0 netns {host.Namespace.Name}");
            Router.IpAll([$"link set {name} master lan{lan}", $"link set {name} up"]);
            host.Namespace.IpAll(
            [
                .. host.Addresses.Select(a => $"addr add {a}/24 dev eth0"), .. host.Addresses6.Select(a => $"addr add {a}/64 dev eth0 nodad"), "link set eth0 up",
                $"route add default via 10.8{lan}.0.1", $"route add default via fd88:{lan + 1}::1",
            ]);
            // A new namespace forwards when the host does.
            host.Namespace.Inside(() =>
            {
                File.WriteAllText("/proc/sys/net/ipv4/ip_forward", "0");
                return 0;
            });
            // Nobody is there: who is asked for names of the mesh is the sidecar.
            host.Namespace.WriteResolvConf($"nameserver 10.8{lan}.0.1\n");
            return host;
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var host in Enumerable.Reverse(hosts)) await host.DisposeAsync();
        Router.Dispose();
    }

    private void Lay(int lan)
    {
        if (!lans.Add(lan)) return;
        Router.IpAll(
        [
            // A bridge has the least of its ports' addresses, unless it is told one: a machine that comes would change it, and those who know the router by the
            // old one would lose packets for seconds.
            $"link add lan{lan} address 02:6d:65:73:68:{lan:x2} type bridge mcast_snooping 0", $"addr add 10.8{lan}.0.1/24 dev lan{lan}", $"addr add fd88:{lan + 1}::1/64 dev lan{lan} nodad", $"link set lan{lan} up",
        ]);
    }
}
