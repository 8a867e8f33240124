using System.Runtime.CompilerServices;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;
using Xunit.Abstractions;

namespace Mesh.EndToEnd.Tests.Names;

/// <summary>The names of the mesh and all others, as real resolvers see them: dig, glibc, musl, busybox, Go, .NET and Python, behind real rules.</summary>
public sealed class ResolverJudgeTests(ITestOutputHelper output)
{
    private static readonly string[] CartNames = ["cart.", "cart.default", "cart.default.svc", "cart.default.svc.cluster.local", "cart.default.svc.cluster.local.", "CART.default.Svc.cluster.LOCAL", "cart.service.consul"];

    [SkippableTheory]
    [InlineData(NamesLab.Beside)]
    [InlineData(NamesLab.Beside6)]
    [InlineData(NamesLab.Stub)]
    public async Task Dig_and_the_c_library_find_both_worlds(string resolver)
    {
        await using var lab = await NamesLab.StartAsync(resolver);
        var virtualAddress = lab.Dig("cart.default.svc.cluster.local");
        output.WriteLine($"cart: {virtualAddress}");
        Assert.StartsWith("24", virtualAddress, StringComparison.Ordinal);
        foreach (var name in CartNames)
        {
            foreach (var how in (string[][])[[], ["+tcp"], ["+noedns"], ["+bufsize=512"], ["+dnssec", "+bufsize=4096"]]) Assert.Equal(virtualAddress, lab.Dig([.. how, name]));
        }

        // The letters of the question come back; AAAA is there, since install made the route; of other types there is nothing, which is not NXDOMAIN.
        Assert.Contains(";cArT.default.", lab.Run("dig", "+qr", "cArT.default").Output, StringComparison.Ordinal);
        Assert.StartsWith("fd6d:6573:6800:", lab.Dig("cart.default", "AAAA"), StringComparison.Ordinal);
        Assert.Equal("10.96.0.3", lab.Dig("web.shop"));
        foreach (var (name, type) in new[] { ("web.shop", "AAAA"), ("web.shop", "SRV"), ("web.shop", "HTTPS") })
        {
            var said = lab.Run("dig", name, type).Output;
            Assert.Contains("status: NOERROR", said, StringComparison.Ordinal);
            Assert.Contains("ANSWER: 0", said, StringComparison.Ordinal);
        }

        // Everybody else's names, as the real resolver has them.
        Assert.Equal("192.0.2.80", lab.Dig("www.example.test"));
        Assert.Equal("2001:db8::80", lab.Dig("www.example.test", "AAAA"));
        Assert.Equal("www.example.test.\n192.0.2.80", lab.Dig("alias.example.test"));
        foreach (var name in new[] { "nobody.example.test", "nobody.default.svc.cluster.local" }) Assert.Contains("status: NXDOMAIN", lab.Run("dig", $"{name}.").Output, StringComparison.Ordinal);
        Assert.Equal("192.0.2.81", lab.Dig("+search", "intra"));
        Assert.Contains("flags: qr aa tc rd", lab.Run("dig", "+ignore", "+bufsize=512", "long.example.test", "TXT").Output, StringComparison.Ordinal);
        Assert.Equal(20, lab.Dig("long.example.test", "TXT").Split('\n').Length); // by TCP, then
        Assert.Contains("status: NOERROR", lab.Run("dig", "+edns=0", "+nsid", "+cookie", "www.example.test").Output, StringComparison.Ordinal);

        // glibc, with its search list.
        Assert.Contains(virtualAddress, lab.Run("getent", "ahosts", "cart").Output, StringComparison.Ordinal);
        Assert.Contains("fd6d:6573:6800:", lab.Run("getent", "ahostsv6", "cart.default").Output, StringComparison.Ordinal);
        Assert.Contains("192.0.2.81", lab.Run("getent", "hosts", "intra").Output, StringComparison.Ordinal);
        Assert.Contains("192.0.2.80", lab.Run("getent", "ahostsv4", "alias.example.test").Output, StringComparison.Ordinal);
        Assert.Equal(2, lab.Run("getent", "hosts", "nobody.example.test").Code);

        var page = lab.Admin("/dns?name=cart");
        Assert.Contains($"cart.default.svc.cluster.local (bare, too): {virtualAddress}", page, StringComparison.Ordinal);
        Assert.DoesNotContain("web.shop", page, StringComparison.Ordinal);
        Assert.Contains("Loop: 0", page, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Other_resolvers_find_the_same()
    {
        await using var lab = await NamesLab.StartAsync(NamesLab.Beside);
        var virtualAddress = lab.Dig("cart.default.svc.cluster.local");
        foreach (var (judge, resolve) in Judges(lab))
        {
            if (resolve is null)
            {
                output.WriteLine($"{judge}: not here, not asked");
                continue;
            }

            foreach (var (name, address) in new[] { ("cart", virtualAddress), ("cart.default.svc.cluster.local", virtualAddress), ("web.shop", "10.96.0.3"), ("www.example.test", "192.0.2.80"), ("intra", "192.0.2.81") })
            {
                // Busybox has a mind of its own about search lists.
                if (judge == "busybox" && name is "cart" or "intra") continue;
                var said = resolve(name);
                Assert.True(said.Contains(address, StringComparison.Ordinal), $"{judge} {name}: {said}");
            }

            output.WriteLine($"{judge}: agrees");
        }
    }

    [SkippableTheory]
    [InlineData(NamesLab.Beside)]
    [InlineData(NamesLab.Stub)]
    public async Task Ports_that_come_again_mislead_no_query(string resolver)
    {
        await using var lab = await NamesLab.StartAsync(resolver);
        // So few ports for programs that each one comes again and again, and connection tracking knows them all from before.
        lab.Machine.Must("sysctl", "-qw", "net.ipv4.ip_local_port_range=40000 40063");
        var said = lab.Run("/usr/bin/python3", "-c", AskOften, resolver).Output;
        Assert.Equal("www 300 cart 300", said);
        Assert.Contains("Loop: 0", lab.Admin("/dns"), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Instances_come_whole_and_nothing_changes_in_an_outage()
    {
        await using var lab = await NamesLab.StartAsync(NamesLab.Beside, pods: 150);
        var all = lab.Dig("pods.default").Split('\n').Order().ToList(); // more than a datagram without EDNS: dig goes on by TCP
        Assert.Equal(150, all.Distinct().Count());
        Assert.Equal(all, lab.Dig("+noedns", "pods").Split('\n').Order());
        Assert.Equal(all, lab.Run("getent", "ahostsv4", "pods").Output.Split('\n').Select(l => l.Split(' ')[0]).Distinct().Order());
        Assert.Contains("flags: qr aa tc", lab.Run("dig", "+ignore", "+noedns", "pods").Output, StringComparison.Ordinal);

        var cart = lab.Dig("cart");
        await lab.ControlPlane.KillAsync();
        Assert.Equal(cart, lab.Dig("cart"));
        Assert.Equal("192.0.2.80", lab.Dig("www.example.test"));
        // Without the real resolver the mesh's names are there, and others fail within a client's patience.
        await lab.Dnsmasq.KillAsync();
        Assert.Equal(cart, lab.Dig("+tries=1", "+time=3", "cart.default"));
        Assert.Contains("status: SERVFAIL", lab.Run("dig", "+tries=1", "+time=3", "www.example.test").Output, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Ipv6_addresses_are_told_only_while_they_lead_to_the_sidecar()
    {
        await using var lab = await NamesLab.StartAsync(NamesLab.Beside);
        // A way out for all IPv6: by that one a virtual address leads to nobody.
        lab.Machine.Ip($"-6 route add default via {NamesLab.Beside6}");
        Assert.StartsWith("fd6d:6573:6800:", lab.Dig("cart.default", "AAAA"), StringComparison.Ordinal);
        lab.Machine.Must(Programs.Sidecar, "capture", "install", "--ipv6", "off");
        await Eventually.PassesAsync(() =>
        {
            var said = lab.Run("dig", "cart.default", "AAAA").Output;
            Assert.Contains("ANSWER: 0", said, StringComparison.Ordinal);
            Assert.Contains("status: NOERROR", said, StringComparison.Ordinal);
            return Task.CompletedTask;
        });
        Assert.DoesNotContain("fd6d", lab.Run("getent", "ahosts", "cart").Output, StringComparison.Ordinal);
        Assert.StartsWith("24", lab.Run("getent", "ahosts", "cart").Output, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_sidecar_whose_own_queries_are_captured_says_so()
    {
        await using var lab = await NamesLab.StartAsync(NamesLab.Beside);
        // As if it ran as another user: rules take its own packets, too.
        lab.Machine.Must(Programs.Sidecar, "capture", "install", "--proxy-uid", "4242", "--proxy-gid", "4242");
        Assert.Contains("status: REFUSED", lab.Run("dig", "www.example.test").Output, StringComparison.Ordinal);
        Assert.Contains("status: REFUSED", lab.Run("dig", "+tcp", "www.example.test").Output, StringComparison.Ordinal);
        Assert.StartsWith("24", lab.Dig("cart"), StringComparison.Ordinal);
        Assert.Contains("Loop: 2", lab.Admin("/dns"), StringComparison.Ordinal);
    }

    /// <summary>Asks for a foreign name and one of the mesh in turn, each time from another socket; says how many were answered with an address.</summary>
    private const string AskOften = """
        import socket, struct, sys
        def ask(name):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(5)
                s.connect((sys.argv[1], 53))
                s.send(struct.pack('!6H', 7, 0x100, 1, 0, 0, 0) + b''.join(bytes([len(l)]) + l.encode() for l in name.split('.')) + b'\0\0\1\0\1')
                head = struct.unpack('!6H', s.recv(4096)[:12])
                return 1 if head[1] & 15 == 0 and head[3] > 0 else 0
        counts = [0, 0]
        for i in range(300):
            counts[0] += ask('www.example.test')
            counts[1] += ask('cart.default.svc.cluster.local')
        print('www', counts[0], 'cart', counts[1])
        """;

    private static IEnumerable<(string Judge, Func<string, string>? Resolve)> Judges(NamesLab lab)
    {
        yield return ("python", name => lab.Run("/usr/bin/python3", "-c", $"import socket; print(socket.getaddrinfo('{name}', 80))").Output);
        yield return (".NET", name => lab.Run(Programs.EchoApp, "resolve", name).Output);
        yield return ("musl", Musl(lab));
        yield return ("busybox", ExternalProgram.Find("busybox") is { } busybox ? name => lab.Run(busybox, "nslookup", name).Output : null);
        // A program in Go without the C library: it says whom it tries to connect to.
        yield return ("go", ExternalProgram.Find("fortio") is { } fortio ? name => lab.Run(fortio, "curl", "-loglevel", "debug", "-timeout", "1s", $"http://{name}/").Output : null);
    }

    private static Func<string, string>? Musl(NamesLab lab)
    {
        if (ExternalProgram.Find("musl-gcc") is not { } compiler) return null;
        var program = Path.Combine(Path.GetTempPath(), $"mesh-resolve-{Environment.ProcessId}");
        var (code, said) = lab.Run(compiler, "-static", "-o", program, Source());
        Assert.True(code == 0, said);
        return name => lab.Run(program, name).Output;

        static string Source([CallerFilePath] string here = "") => Path.Combine(Path.GetDirectoryName(here)!, "resolve.c");
    }
}
