using System.Net;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Config.Builders;
using Mesh.Sidecar.Tests.Captured;

namespace Mesh.Sidecar.Tests.Config;

/// <summary>Which chains are for which destination.</summary>
public sealed class DestinationIndexTests
{
    private static readonly string Many = Chains(
        ("vip", "10.96.0.10/32", 80), ("vip6", "fd96::10/128", 80), ("net", "10.96.0.0/16", 80), ("wide", "10.0.0.0/8", 80), ("v4", "0.0.0.0/0", 80), ("port", "", 443),
        ("any", "10.96.0.10/32", 0), ("rest", "", 0));

    [Theory]
    [InlineData("10.96.0.10", 80, "vip")]
    [InlineData("::ffff:10.96.0.10", 80, "vip")]
    [InlineData("fd96::10", 80, "vip6")]
    [InlineData("10.96.3.4", 80, "net")]
    [InlineData("10.97.0.1", 80, "wide")]
    [InlineData("192.0.2.1", 80, "v4")]
    [InlineData("fd96::11", 80, "otherwise")] // no way back from the port, as in Envoy
    [InlineData("10.96.0.10", 443, "port")]
    [InlineData("2001:db8::1", 443, "port")]
    [InlineData("10.96.0.10", 8080, "any")]
    [InlineData("10.96.0.11", 8080, "rest")]
    [InlineData("fd96::10", 8080, "rest")]
    public void PortThenLongestRange(string address, int port, string expected)
    {
        var listener = Yaml.Snapshot(Yaml.Listener(Many)).Listeners[0]!;
        var group = listener.GroupOf(new IPEndPoint(IPAddress.Parse(address), port));
        Assert.Equal(expected, group?.Chains.Single().Name ?? listener.Rest.Otherwise!.Name);
    }

    [Theory]
    [InlineData("0.0.0.0/0", "255.255.255.255", true)]
    [InlineData("0.0.0.0/0", "::1", false)]
    [InlineData("::/0", "10.0.0.1", true)]
    [InlineData("fd96::/64", "fd96::ffff:1", true)]
    [InlineData("fd96::/65", "fd96:0:0:0:8000::", false)]
    [InlineData("fd00::/8", "fdff::1", true)]
    [InlineData("10.1.2.3/8", "10.200.0.1", true)] // bits beyond the length count for nothing
    [InlineData("10.1.2.4/31", "10.1.2.6", false)]
    public void RangesHoldTheirAddresses(string range, string address, bool holds)
    {
        var parts = range.Split('/');
        var prefix = AddressPrefix.Of(IPAddress.Parse(parts[0]), uint.Parse(parts[1], System.Globalization.CultureInfo.InvariantCulture))!.Value;
        Assert.Equal(holds, prefix.Holds(Destination.Of(IPAddress.Parse(address), 80)));
    }

    [Theory]
    [InlineData("{prefix_ranges: [{address_prefix: web, prefix_len: 32}]}", "prefix_ranges[0].address_prefix: \"web\" is not an IP address")]
    [InlineData("{prefix_ranges: [{address_prefix: 10.0.0.1, prefix_len: 33}]}", "prefix_ranges[0].prefix_len: 33 is longer than the address 10.0.0.1")]
    [InlineData("{prefix_ranges: [{address_prefix: 'fd00::', prefix_len: 129}]}", "prefix_ranges[0].prefix_len: 129 is longer than the address fd00::")]
    [InlineData("{destination_port: 0}", "destination_port: 0 is not a port")]
    [InlineData("{destination_port: 65536}", "destination_port: 65536 is not a port")]
    [InlineData("{source_prefix_ranges: [{address_prefix: 10.0.0.1, prefix_len: 32}]}", "source_prefix_ranges: is not supported")]
    public void WhatCannotBeMatchedIsRefused(string match, string expected)
    {
        var errors = Yaml.Errors(Yaml.Listener($"filter_chains: [{{filter_chain_match: {match}, filters: [{CapturedYaml.TcpFilter("c")}]}}]"));
        Assert.Contains(errors, e => e.Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void TheSameDestinationTwiceIsRefused()
    {
        var errors = Yaml.Errors(Yaml.Listener(Chains(("a", "10.0.0.1/32", 80), ("b", "10.0.0.1/32", 80))));
        Assert.Contains("filter_chains[1].filter_chain_match: matches the same as a chain before it", Assert.Single(errors), StringComparison.Ordinal);
    }

    [Fact]
    public void ChainsThatLeadToNothingNewStayTheSameObjects()
    {
        var linker = new Linker();
        string File(int port) => CapturedYaml.File(
            CapturedYaml.Outbound("outbound", "127.0.0.1", CapturedYaml.TcpChain("10.96.0.1", 80, "a") + ", " + CapturedYaml.TcpChain("10.96.0.2", 80, "b")),
            string.Join(", ", CapturedYaml.Passthrough, CapturedYaml.Cluster("a", "10.0.0.1", 80), CapturedYaml.Cluster("b", "10.0.0.2", port)));
        var set = Yaml.Set(File(80));
        var before = linker.Link(set).Listeners[0]!;
        Assert.Same(before, linker.Link(set).Listeners[0]);
        var moved = linker.Link(set with { Clusters = set.Clusters!.SetItem("b", Yaml.Set(File(81)).Clusters!["b"]) }).Listeners[0]!;
        Assert.Same(before.Chains[0], moved.Chains[0]);
        Assert.Same(before.Destinations, moved.Destinations);
        Assert.Equal(81, moved.Chains[1].Tcp!.Clusters[0].Cluster!.Endpoints[0].Port);
        Assert.Equal(81, moved.GroupOf(new IPEndPoint(IPAddress.Parse("10.96.0.2"), 80))!.Chains[0].Tcp!.Clusters[0].Cluster!.Endpoints[0].Port);
    }

    private static string Chains(params (string Name, string Range, int Port)[] chains)
    {
        var written = chains.Select(c =>
        {
            var parts = c.Range.Split('/');
            var ranges = c.Range.Length == 0 ? "" : $"prefix_ranges: [{{address_prefix: '{parts[0]}', prefix_len: {parts[1]}}}],";
            var port = c.Port == 0 ? "" : $"destination_port: {c.Port}";
            return $"{{name: {c.Name}, filter_chain_match: {{{ranges} {port}}}, filters: [{CapturedYaml.TcpFilter("c")}]}}";
        });
        return $"filter_chains: [{string.Join(", ", written)}], default_filter_chain: {{name: otherwise, filters: [{CapturedYaml.TcpFilter("c")}]}}";
    }
}
