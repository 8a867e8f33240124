using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Tests;

/// <summary>The flags about the network: what is taken, and in which words what is wrong is refused.</summary>
public sealed class NetworkFlagsTests
{
    private readonly StringWriter errors = new();
    private Options? options;

    [Theory]
    [InlineData("", "240.0.0.0/4 fd6d:6573:6800::/48")]
    [InlineData("--virtual-range none", "")]
    [InlineData("--virtual-range 100.64.0.0/10", "100.64.0.0/10 fd6d:6573:6800::/48")]
    [InlineData("--virtual-range fd00::/48 --virtual-range fd01::/48", "fd00::/48 fd01::/48 240.0.0.0/4")]
    public async Task Virtual_ranges(string line, string expected)
    {
        Assert.Equal(0, await RunAsync(line));
        Assert.Equal(expected, string.Join(' ', options!.Network.VirtualRanges));
    }

    [Fact]
    public async Task All_of_them_are_understood()
    {
        Assert.Equal(0, await RunAsync("--pod-range 10.0.0.0/16 --pod-range fd00::/56 --service-range 10.96.0.0/12 --outbound-policy registry-only"));
        Assert.Equal(("10.0.0.0/16 fd00::/56", "10.96.0.0/12", true), (string.Join(' ', options!.Network.PodRanges), string.Join(' ', options.Network.ServiceRanges), options.Network.RegistryOnly));
        Assert.Equal(0, await RunAsync(""));
        Assert.Equal(NetworkTerms.Default, options.Network);
    }

    [Theory]
    [InlineData("--virtual-range 240.0.0.1/4", "--virtual-range: '240.0.0.1/4' is no CIDR such as 10.96.0.0/12 or fd00::/64, with zeros behind the prefix")]
    [InlineData("--virtual-range all", "--virtual-range: 'all' is no CIDR")]
    [InlineData("--pod-range 0.0.0.0/0", "--pod-range: '0.0.0.0/0' is no CIDR")]
    [InlineData("--service-range 10.0.0.0/8 --service-range 10.96.0.0/12", "--service-range: 10.96.0.0/12 and 10.0.0.0/8 overlap")]
    [InlineData("--virtual-range 127.0.0.0/8", "--virtual-range: 127.0.0.0/8 is not for services")]
    [InlineData("--virtual-range 224.0.0.0/3", "--virtual-range: 224.0.0.0/3 is not for services")]
    [InlineData("--outbound-policy some", "--outbound-policy: 'some' is neither allow-any nor registry-only")]
    public async Task What_is_wrong_is_said(string line, string words)
    {
        Assert.Equal(2, await RunAsync(line));
        Assert.Contains(words, errors.ToString(), StringComparison.Ordinal);
    }

    private Task<int> RunAsync(string line) => new CommandLine(TimeSpan.FromMinutes(5)).InvokeAsync(line.Split(' ', StringSplitOptions.RemoveEmptyEntries), errors, read =>
    {
        options = read;
        return Task.FromResult(0);
    });
}
