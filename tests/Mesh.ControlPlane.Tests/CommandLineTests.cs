namespace Mesh.ControlPlane.Tests;

public sealed class CommandLineTests
{
    private readonly StringWriter errors = new();
    private Options? options;

    [Fact]
    public async Task Defaults_are_the_ports_of_the_design()
    {
        Assert.Equal(0, await RunAsync());
        Assert.Equal("0.0.0.0:15012", Assert.Single(options!.MeshApi).ToString());
        Assert.Empty(options.Xds);
        Assert.Equal(("127.0.0.1:15014", "127.0.0.1:15015", "127.0.0.1:8500"), ($"{options.Health}", $"{options.Operators}", $"{options.Registry}"));
        Assert.Equal(TimeSpan.FromSeconds(10), options.Grace);
    }

    [Fact]
    public async Task The_xds_address_may_be_repeated()
    {
        Assert.Equal(0, await RunAsync("--xds", "127.0.0.1:0", "--xds", "unix:/run/x.sock", "--xds", "[::1]:15010", "--xds", "localhost:1"));
        Assert.Equal(["127.0.0.1:0", "unix:/run/x.sock", "[::1]:15010", "127.0.0.1:1"], options!.Xds.Select(a => a.ToString()));
    }

    [Theory]
    [InlineData("--unknown", "--unknown")]
    [InlineData("stray", "stray")]
    [InlineData("--xds 0.0.0.0:15010", "served without authentication")]
    [InlineData("--xds [::]:15010", "--xds: [::]:15010 is refused")]
    [InlineData("--xds 10.0.0.1:15010", "only loopback addresses")]
    [InlineData("--xds 127.0.0.1:0 --xds 0.0.0.0:0", "--xds: 0.0.0.0:0 is refused")]
    [InlineData("--operators 0.0.0.0:15015", "--operators: 0.0.0.0:15015 is refused")]
    [InlineData("--registry 0.0.0.0:8500", "--registry: 0.0.0.0:8500 is refused")]
    [InlineData("--xds 127.0.0.1", "no address to listen on")]
    [InlineData("--xds 127.0.0.1:99999", "no address to listen on")]
    [InlineData("--xds unix:relative", "unix:/absolute/path")]
    [InlineData("--xds", "--xds")]
    [InlineData("--health nonsense", "'nonsense' is no address")]
    [InlineData("--consul 127.0.0.1:8500", "--consul: '127.0.0.1:8500' is no http or https URL")]
    [InlineData("--consul http://user:secret@host:8500", "give no user or password")]
    [InlineData("--grace -1", "--grace")]
    [InlineData("--grace soon", "--grace")]
    [InlineData("--log-level loud", "--log-level: debug, info, warn or error")]
    [InlineData("--otlp collector", "--otlp: 'collector'")]
    public async Task What_is_wrong_is_said_and_ends_with_2(string arguments, string words)
    {
        Assert.Equal(2, await RunAsync(arguments.Split(' ')));
        Assert.Null(options);
        Assert.Contains(words, errors.ToString());
        Assert.DoesNotContain("secret", errors.ToString());
    }

    [Fact]
    public async Task Health_may_be_reached_from_elsewhere()
    {
        Assert.Equal(0, await RunAsync("--health", "0.0.0.0:15014"));
        Assert.Equal("0.0.0.0:15014", options!.Health.ToString());
    }

    private Task<int> RunAsync(params string[] arguments) => new CommandLine(TimeSpan.FromMinutes(5)).InvokeAsync(arguments, errors, parsed =>
    {
        options = parsed;
        return Task.FromResult(0);
    });
}
