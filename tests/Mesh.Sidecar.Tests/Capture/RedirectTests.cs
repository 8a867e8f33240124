using Mesh.Tests;
using static Mesh.Sidecar.Tests.Capture.CaptureNetwork;

namespace Mesh.Sidecar.Tests.Capture;

/// <summary>Real connections under real rules, inbound by redirection.</summary>
public class RedirectTests
{
    private static readonly int[] OwnPorts = [15000, 15001, 15006, 15020, 15021, 15053];
    private static readonly string[] Resolvers = ["--resolvers", $"{There},{There6},127.0.0.53"];

    [SkippableTheory]
    [InlineData("nft")]
    [InlineData("iptables")]
    public async Task What_the_application_opens_goes_to_the_sidecar_with_where_it_wanted(string backend)
    {
        await using var network = await StartAsync(backend);
        await network.StartSidecarAsync();
        network.Succeed(["install", "--backend", backend, .. Resolvers]);

        Assert.StartsWith($"out {There}:80 127.0.0.1:15001", network.Dial(There, 80), StringComparison.Ordinal);
        Assert.StartsWith($"out [{There6}]:80 [::1]:15001", network.Dial(There6, 80), StringComparison.Ordinal);
        // Addresses nobody has; there is no default route.
        Assert.StartsWith("out 240.0.0.9:80 127.0.0.1:15001", network.Dial("240.0.0.9", 80), StringComparison.Ordinal);
        Assert.StartsWith("out [fd6d:6573:6800::9]:80 [::1]:15001", network.Dial("fd6d:6573:6800::9", 80), StringComparison.Ordinal);
        // Its own address: a call like any other. Loopback: not.
        Assert.StartsWith($"out {Here}:8080 127.0.0.1:15001", network.Dial(Here, 8080), StringComparison.Ordinal);
        Assert.StartsWith($"out [{Here6}]:8080 [::1]:15001", network.Dial(Here6, 8080), StringComparison.Ordinal);
        Assert.StartsWith("app 127.0.0.1:8081", network.Dial("127.0.0.1", 8081), StringComparison.Ordinal);
        Assert.StartsWith("app [::1]:8080", network.Dial("::1", 8080), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public async Task What_comes_from_elsewhere_goes_to_the_sidecar_with_the_address_it_was_sent_to(string backend)
    {
        await using var network = await StartAsync(backend);
        await network.StartSidecarAsync();
        network.Succeed("install", "--backend", backend, "--exclude-inbound-ports", "8079-8080,9000");
        Assert.StartsWith("app", network.DialFromPeer(Here, 8080), StringComparison.Ordinal);
        network.Succeed("install", "--backend", backend);
        Assert.StartsWith($"in {Here}:8080 {Here}:15006 {There}:", network.DialFromPeer(Here, 8080), StringComparison.Ordinal);
        Assert.StartsWith($"in [{Here6}]:8080 [{Here6}]:15006 [{There6}]:", network.DialFromPeer(Here6, 8080), StringComparison.Ordinal);
        Assert.StartsWith($"in {Here}:4711 {Here}:15006", network.DialFromPeer(Here, 4711), StringComparison.Ordinal);
        // A port of the sidecar itself.
        Assert.StartsWith("app ", network.DialFromPeer(Here, 15021), StringComparison.Ordinal);
        network.Succeed("remove");
        Assert.StartsWith("app ", network.DialFromPeer(Here, 8080), StringComparison.Ordinal);
        Assert.StartsWith("peer ", network.Dial(There, 80), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("nft")]
    [InlineData("iptables")]
    public async Task What_the_sidecar_sends_arrives_and_a_call_to_its_own_service_comes_in_by_the_front_door(string backend)
    {
        await using var network = await StartAsync(backend);
        await network.StartSidecarAsync();
        network.Succeed(["install", "--backend", backend, .. Resolvers]);
        Assert.StartsWith("peer", network.DialAs(1337, There, 80), StringComparison.Ordinal);
        Assert.StartsWith("peer", network.DialAs(1337, There6, 80), StringComparison.Ordinal);
        Assert.StartsWith("peer", network.DialAs(1337, There, 53, "udp"), StringComparison.Ordinal);
        Assert.StartsWith("stub", network.DialAs(1337, "127.0.0.53", 53, "udp"), StringComparison.Ordinal);
        // To the application, by the address it listens on.
        Assert.StartsWith("app", network.DialAs(1337, Here, 8080), StringComparison.Ordinal);
        Assert.StartsWith("app", network.DialAs(1337, Here6, 8080), StringComparison.Ordinal);
        Assert.StartsWith("app", network.DialAs(1337, "127.0.0.1", 8081), StringComparison.Ordinal);
        Assert.StartsWith("app", network.DialAs(1337, "::1", 8080, "from=::1"), StringComparison.Ordinal);
        // To a service that happens to be this workload.
        Assert.StartsWith($"in {Here}:8080", network.DialAs(1337, Here, 8080, "from=127.15.0.6"), StringComparison.Ordinal);
        Assert.StartsWith($"in [{Here6}]:8080", network.DialAs(1337, Here6, 8080, "from=::1"), StringComparison.Ordinal);
        // What the application can claim by its source address: nothing.
        Assert.StartsWith($"out {Here}:8080", network.DialAs(1000, Here, 8080, "from=127.15.0.6"), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public async Task Queries_to_the_configured_servers_go_to_the_sidecar_and_others_do_not(string backend)
    {
        await using var network = await StartAsync(backend);
        await network.StartSidecarAsync();
        network.Succeed("install", "--backend", backend, "--resolvers", $"{There6},127.0.0.53");
        Assert.StartsWith("dns", network.Dial("127.0.0.53", 53, "udp"), StringComparison.Ordinal);
        Assert.StartsWith("dns 127.0.0.53:53", network.Dial("127.0.0.53", 53), StringComparison.Ordinal);
        Assert.StartsWith("dns", network.Dial(There6, 53, "udp"), StringComparison.Ordinal);
        Assert.StartsWith($"dns [{There6}]:53", network.Dial(There6, 53), StringComparison.Ordinal);
        Assert.StartsWith("peer", network.Dial(There, 53, "udp"), StringComparison.Ordinal);
        network.Succeed("install", "--backend", backend, "--dns", "off");
        Assert.StartsWith("stub", network.Dial("127.0.0.53", 53, "udp"), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public async Task Resolvers_on_an_address_of_this_machine_are_captured_too(string backend)
    {
        await using var network = await StartAsync(backend);
        await network.StartSidecarAsync();
        await network.ServeAsync(network.Workload, $"cache={Here}:53/udp", $"cache=[{Here6}]:53/udp", $"cache={Here}:53");
        network.Succeed("install", "--backend", backend, "--resolvers", $"{Here},{Here6}", "--exclude-uids", "53");
        foreach (var address in (string[])[Here, Here6])
        {
            Assert.StartsWith("dns", network.Dial(address, 53, "udp"), StringComparison.Ordinal);
            Assert.StartsWith("cache", network.DialAs(1337, address, 53, "udp"), StringComparison.Ordinal);
            Assert.StartsWith("cache", network.DialAs(53, address, 53, "udp"), StringComparison.Ordinal);
        }

        Assert.StartsWith("dns", network.Dial(Here, 53), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("nft", "redirect")]
    [LongInlineData("iptables", "redirect")]
    [InlineData("nft", "tproxy")]
    [LongInlineData("iptables", "tproxy")]
    public async Task Addresses_of_one_link_work_as_before_and_are_captured_where_they_can_be(string backend, string mode)
    {
        await using var network = await StartAsync(backend);
        await network.StartSidecarAsync(mode == "tproxy" ? "/tproxy" : "");
        network.Succeed(["install", "--backend", backend, "--mode", mode, .. Resolvers]);
        // Its own address of the link takes the kernel a moment.
        await Eventually.PassesAsync(() =>
        {
            Assert.StartsWith("peer", network.Dial($"{OfOneLink(network.Peer)}%e0", 80, "wait=2"), StringComparison.Ordinal);
            Assert.StartsWith("in", network.DialFromPeer($"{OfOneLink(network.Workload)}%e1", 8080, "wait=2"), StringComparison.Ordinal);
            return Task.CompletedTask;
        }, 20);

        static string OfOneLink(NetworkNamespace machine) => machine.Ip("-o -6 addr show scope link").Split("inet6 ")[1].Split('/')[0];
    }

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public async Task A_port_like_the_sidecars_elsewhere_is_no_way_past_it(string backend)
    {
        await using var network = await StartAsync(backend);
        await network.StartSidecarAsync();
        await network.ServeAsync(network.Peer, [.. from port in OwnPorts from any in (string[])["0.0.0.0", "[::]"] select $"peer={any}:{port}"]);
        // Those of this machine are left to the sidecar: to programs here, and to who asks from elsewhere.
        await network.ServeAsync(network.Workload, "app=0.0.0.0:15020", "app=[::]:15020", "app=[::]:15021");
        network.Succeed(["install", "--backend", backend, .. Resolvers]);
        foreach (var (there, port) in from there in (string[])[There, There6] from port in OwnPorts select (there, port)) Assert.StartsWith($"out {(there == There6 ? $"[{there}]" : there)}:{port}", network.Dial(there, port), StringComparison.Ordinal);
        foreach (var (here, port) in from here in (string[])[Here, Here6] from port in (int[])[15020, 15021] select (here, port))
        {
            Assert.StartsWith("app", network.Dial(here, port), StringComparison.Ordinal);
            Assert.StartsWith("app", network.DialFromPeer(here, port), StringComparison.Ordinal);
        }

        Assert.StartsWith($"in {Here}:15006 {Here}:15006", network.Dial(Here, 15006), StringComparison.Ordinal);
        Assert.StartsWith("out 240.0.0.9:15020", network.Dial("240.0.0.9", 15020), StringComparison.Ordinal);
        network.Succeed(["install", "--backend", backend, "--exclude-outbound-ports", "80,15020", "--exclude-outbound-cidrs", "240.0.0.0/8", .. Resolvers]);
        Assert.StartsWith("out 240.0.0.9:80", network.Dial("240.0.0.9", 80), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public async Task Without_a_sidecar_nothing_gets_by(string backend)
    {
        await using var network = await StartAsync(backend);
        network.Succeed(["install", "--backend", backend, .. Resolvers]);
        foreach (var address in (string[])[There, There6, "240.0.0.9", "fd6d:6573:6800::9", Here, Here6]) Assert.Equal("ECONNREFUSED", network.Dial(address, 80));
        Assert.Equal("ECONNREFUSED", network.DialFromPeer(Here, 8080));
        Assert.Equal("ECONNREFUSED", network.DialFromPeer(Here6, 8080));
        // What is not TCP to a virtual address has nobody to go to, and is told so.
        Assert.Equal("EPERM", network.Dial("240.0.0.9", 443, "udp"));
        Assert.Equal("EPERM", network.Dial("fd6d:6573:6800::9", 443, "udp"));
    }

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public async Task Options_say_whose_and_where(string backend)
    {
        await using var network = await StartAsync(backend);
        await network.StartSidecarAsync();
        network.Succeed("install", "--backend", backend, "--exclude-outbound-ports", "79-80", "--exclude-uids", "1000,1002", "--exclude-outbound-cidrs", $"{There6}");
        Assert.StartsWith("peer", network.Dial(There, 80), StringComparison.Ordinal);
        Assert.StartsWith("out", network.Dial(There, 81), StringComparison.Ordinal);
        Assert.StartsWith("peer", network.DialAs(1002, There, 81), StringComparison.Ordinal);
        Assert.StartsWith("peer", network.Dial(There6, 80), StringComparison.Ordinal);

        network.Succeed("install", "--backend", backend, "--outbound-ports", "81", "--include-outbound-cidrs", "10.0.0.0/8", "--inbound-ports", "8080");
        Assert.StartsWith("peer", network.Dial(There, 80), StringComparison.Ordinal);
        Assert.StartsWith("out", network.Dial(There, 81), StringComparison.Ordinal);
        Assert.StartsWith("out", network.Dial("240.0.0.9", 80), StringComparison.Ordinal);
        Assert.StartsWith("in", network.DialFromPeer(Here, 8080), StringComparison.Ordinal);
        Assert.Equal("ECONNREFUSED", network.DialFromPeer(Here, 8082));

        network.Succeed("install", "--backend", backend, "--uid", "1000,1001");
        Assert.StartsWith("out", network.DialAs(1001, There, 80), StringComparison.Ordinal);
        Assert.StartsWith("peer", network.DialAs(1002, There, 80), StringComparison.Ordinal);
        Assert.StartsWith("app", network.DialFromPeer(Here, 8080), StringComparison.Ordinal);

        network.Succeed("install", "--backend", backend, "--exclude-interfaces", "e0");
        Assert.StartsWith("peer", network.Dial(There, 80), StringComparison.Ordinal);
        Assert.StartsWith("out", network.Dial("240.0.0.9", 80), StringComparison.Ordinal);
        Assert.StartsWith("app", network.DialFromPeer(Here, 8080), StringComparison.Ordinal);

        network.Succeed("install", "--backend", backend, "--include-interfaces", "e7");
        Assert.StartsWith("peer", network.Dial(There, 80), StringComparison.Ordinal);
        Assert.StartsWith("app", network.DialFromPeer(Here, 8080), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public async Task Only_a_cgroups_programs(string backend)
    {
        await using var network = await StartAsync(backend, "unshare");
        await network.StartSidecarAsync();
        var name = $"mesh-{Environment.ProcessId}-{backend}";
        var (code, output, error) = network.Workload.Try("", "unshare", "-m", "sh", "-c", $"""
            mount -t cgroup2 none /sys/fs/cgroup && mkdir -p /sys/fs/cgroup/{name}/app || exit 77
            {SidecarProgram} capture install --backend {backend} --cgroup {name}/app && {SidecarProgram} capture check | grep -c '^works  outbound'
            {DialCommand} {There} 80
            sh -c 'echo 0 > /sys/fs/cgroup/{name}/app/cgroup.procs; exec {DialCommand} {There} 80'
            rmdir /sys/fs/cgroup/{name}/app && mkdir /sys/fs/cgroup/{name}/app
            {SidecarProgram} capture check > /dev/null; echo $?
            {SidecarProgram} capture install --backend {backend} --cgroup {name}/app && {SidecarProgram} capture check | grep -c '^works  outbound'
            {SidecarProgram} capture remove
            rmdir /sys/fs/cgroup/{name}/app /sys/fs/cgroup/{name}
            """);
        Skip.If(code == 77, $"no cgroups of version 2 here: {error}");
        Assert.Matches(@"(?s)^capture installed.*\n2\npeer[^\n]*\nout[^\n]*\n1\ncapture installed.*\n2\ncapture removed", output);
    }
}
