using Mesh.Cli.Running;

namespace Mesh.Cli.Tests.Running;

/// <summary>Files of a run: what its namespace asks about names, and where its sidecar's log goes.</summary>
public sealed class RunFilesTests
{
    private const string Upstream = "nameserver 192.0.2.53\n";

    [Theory]
    [InlineData("nameserver 192.0.2.1\n", "nameserver 192.0.2.1\n")]
    [InlineData("nameserver 127.0.0.53\noptions edns0\n", Upstream)]
    [InlineData("nameserver\t127.0.0.53\n", Upstream)]
    [InlineData("  nameserver   ::1 \n", Upstream)]
    [InlineData("nameserver 127.0.0.53\nnameserver 192.0.2.1\n", "nameserver 127.0.0.53\nnameserver 192.0.2.1\n")]
    [InlineData("search shop\n", Upstream)]
    public void A_resolver_on_loopback_is_replaced_by_those_it_asks_itself(string own, string expected) =>
        Assert.Equal(expected, RunNetwork.ResolvConf(own, Upstream));

    [Fact]
    public void Without_a_resolver_the_sidecar_is_asked_all_the_same()
    {
        Assert.Equal($"nameserver {RunNetwork.HostAddress}\nsearch shop\n", RunNetwork.ResolvConf("search shop\n", null));
        Assert.Equal("nameserver 127.0.0.53\n", RunNetwork.ResolvConf("nameserver 127.0.0.53\n", null));
    }

    /// <summary>Who reads the sidecar's lines must go on reading: a full pipe would hold the sidecar up.</summary>
    [SkippableFact]
    public void A_full_disk_costs_lines_and_nothing_else()
    {
        Skip.If(!File.Exists("/dev/full"), "no /dev/full here");
        using var log = new SidecarLog("/dev/full");
        for (var i = 0; i < 2000; i++) log.Add($"line {i} {new string('x', 100)}");
        Assert.Contains("line 1999", log.Tail(), StringComparison.Ordinal);
    }
}
