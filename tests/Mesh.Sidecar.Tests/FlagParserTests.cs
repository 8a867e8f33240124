using Mesh.Sidecar.Config;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Tests;

/// <summary>The command line.</summary>
public sealed class FlagParserTests
{
    [Fact]
    public void Everything_at_once()
    {
        var flags = Good("--control-plane", "unix:/run/mesh", "--service=web", "--namespace", "shop", "--service-version", "v2", "--workload", "web-1",
            "--port", "8080", "--port", "9090:grpc:api", "--inbound", "0.0.0.0:18080", "--address", "10.0.0.1", "--outbound", "[::1]:0", "--upstream", "db=127.0.0.1:9191",
            "--upstream", "cache:6379=[::1]:0:tcp", "--admin", "off", "--metrics", "0", "--readiness", "127.0.0.1:1", "--ports-file", "p", "--label", "a=b=c", "--label", "d=",
            "--zone", "z", "--access-log", "all", "--access-log-format", "json", "--otlp", "http://o", "--drain-time", "1.5", "--discover", "declared", "--log-level", "debug",
            "--health-path", "/ok", "--workers", "2");
        Assert.Equal(("unix:/run/mesh", "web", "shop", "v2", "web-1"), (flags.ControlPlane, flags.Service, flags.Namespace, flags.Version, flags.Workload));
        Assert.Equal((PortFlag[])[new PortFlag(8080, "", "port-8080"), new PortFlag(9090, "grpc", "api")], flags.Ports.ToArray());
        Assert.Equal(["0.0.0.0:18080"], flags.Inbound.Select(i => i.ToString()));
        Assert.Equal("[::1]:0", flags.Outbound?.ToString());
        Assert.Equal(("db", (int?)null, "127.0.0.1:9191", ""), Upstream(flags.Upstreams[0]));
        Assert.Equal(("cache", (int?)6379, "[::1]:0", "tcp"), Upstream(flags.Upstreams[1]));
        Assert.Null(flags.Admin);
        Assert.Equal("127.0.0.1:0", flags.Metrics?.ToString());
        Assert.Equal(["a=b=c", "d="], flags.Labels.Select(l => $"{l.Key}={l.Value}"));
        Assert.Equal((AccessLogMode.All, AccessLogFormat.Json, TimeSpan.FromSeconds(1.5), false, "/ok", 2),
            (flags.AccessLog, flags.AccessLogFormat, flags.DrainTime, flags.DiscoverAll, flags.HealthPath, flags.Workers));
    }

    [Fact]
    public void Defaults()
    {
        var flags = Good("--static", "f.yaml");
        Assert.Equal(("127.0.0.1:15001", "127.0.0.1:15000", "127.0.0.1:15020", "127.0.0.1:15021"),
            (flags.Outbound!.ToString(), flags.Admin!.ToString(), flags.Metrics!.ToString(), flags.Readiness!.ToString()));
        Assert.Equal((AccessLogMode.Errors, TimeSpan.FromSeconds(30), true), (flags.AccessLog, flags.DrainTime, flags.DiscoverAll));
    }

    [Fact]
    public void Capture()
    {
        var flags = Good("--control-plane", "a:1", "--service", "web", "--port", "80", "--capture", "tproxy", "--inbound-capture", "25006", "--outbound", "25001", "--dns", "25053");
        Assert.Equal((CaptureMode.Tproxy, 25006, "127.0.0.1:25001", "127.0.0.1:25053"), (flags.Capture!.Value, flags.InboundCapture, flags.Outbound!.ToString(), flags.Dns!.Value.Single().ToString()));
        Assert.Equal(CaptureMode.Redirect, Good("--control-plane", "a:1", "--capture", "redirect").Capture);
        Assert.Null(Good("--control-plane", "a:1", "--capture", "off").Capture);
        Assert.Empty(Good("--control-plane", "a:1", "--capture", "redirect", "--dns", "off").Dns!.Value);
        Assert.Empty(Good("--control-plane", "a:1", "--dns", "off").Dns!.Value);
        Assert.Contains("--dns needs --capture", string.Concat(FlagParser.Parse(["--control-plane", "a:1", "--dns", "5353"]).Errors), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "one of --control-plane and --static is needed, and only one")]
    [InlineData("--control-plane a:1 --static f", "one of --control-plane and --static is needed, and only one")]
    [InlineData("--static f --nonsense", "--nonsense: there is no such flag")]
    [InlineData("--static f extra", "extra: there is no such flag")]
    [InlineData("--static f --port", "--port: a value is missing: PORT[:PROTOCOL[:NAME]]")]
    [InlineData("--static f --service a --port 0", "--port: \"0\" is not a number from 1 to 65535")]
    [InlineData("--static f --service a --port 80:smtp", "--port: \"smtp\" is not a protocol")]
    [InlineData("--static f --service a --port 80 --port 80", "--port 80 is given twice")]
    [InlineData("--static f --port 80", "--port needs --service")]
    [InlineData("--static f --inbound 127.0.0.1:1", "--inbound is given 1 times and --port 0 times")]
    [InlineData("--static f --admin localhost:1", "--admin: \"localhost:1\" is not an IP address and port")]
    [InlineData("--static f --admin ::1", "--admin: \"::1\" is not an IP address and port")]
    [InlineData("--static f --admin 127.0.0.1", "--admin: \"127.0.0.1\" is not an IP address and port")]
    [InlineData("--static f --admin 127.0.0.1:99999", "--admin: \"127.0.0.1:99999\" is not an IP address and port")]
    [InlineData("--static f --address web", "--address: \"web\" is not an IP address")]
    [InlineData("--static f --upstream db", "--upstream: \"db\" is not SERVICE[:PORT]=ADDR:PORT[:PROTOCOL]")]
    [InlineData("--static f --upstream db=x:1", "--upstream: \"x:1\" is not an IP address and port")]
    [InlineData("--static f --upstream db=127.0.0.1:1:smtp", "--upstream: \"smtp\" is not a protocol")]
    [InlineData("--static f --upstream db:x=127.0.0.1:1", "--upstream: \"x\" is not a number from 1 to 65535")]
    [InlineData("--static f --label a", "--label: \"a\" is not KEY=VALUE")]
    [InlineData("--static f --access-log some", "--access-log: \"some\" is not one of off, errors, all")]
    [InlineData("--static f --drain-time -1", "--drain-time: \"-1\" is not a number from 0 to 86400")]
    [InlineData("--static f --log-level loud", "--log-level: \"loud\" is not one of")]
    [InlineData("--static f --health-path ok", "--health-path: \"ok\" is not a path")]
    [InlineData("--static f --service a/b", "--service: \"a/b\" is not a name")]
    [InlineData("--static f --capture redirect", "--capture needs --control-plane")]
    [InlineData("--control-plane a:1 --capture all", "--capture: \"all\" is not one of off, redirect, tproxy")]
    [InlineData("--control-plane a:1 --capture tproxy --service a --port 80 --inbound 127.0.0.1:1", "--inbound has no meaning with --capture")]
    [InlineData("--control-plane a:1 --capture tproxy --outbound off", "--outbound off leaves captured traffic nowhere to go")]
    [InlineData("--control-plane a:1 --capture tproxy --outbound 10.0.0.1:15001", "--outbound: with --capture it is on loopback of both families")]
    [InlineData("--control-plane a:1 --inbound-capture 70000", "--inbound-capture: \"70000\" is not a number from 0 to 65535")]
    [InlineData("--static f --workers 0", "--workers: \"0\" is not a number from 1 to 1024")]
    public void Errors_say_what_would_be_right(string line, string expected)
    {
        var (_, errors) = FlagParser.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains(errors, e => e.StartsWith(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void All_errors_are_found() => Assert.Equal(3, FlagParser.Parse(["--a", "--b", "--c", "--static", "f"]).Errors.Count);

    private static Flags Good(params string[] args)
    {
        var (flags, errors) = FlagParser.Parse(args);
        Assert.Empty(errors);
        return flags;
    }

    private static (string, int?, string, string) Upstream(UpstreamFlag flag) => (flag.Service, flag.Port, flag.Listen.ToString(), flag.Protocol);
}
