using System.Net;
using System.Net.Sockets;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Traffic;

/// <summary>What the programs are given wrongly at the start: a clear word, the right exit code, nothing left running.</summary>
public sealed class BadInputTests
{
    [Theory]
    [InlineData("sidecar", 2, "no-such-flag", "--no-such-flag")]
    [InlineData("sidecar", 2, "not-an-address", "--control-plane", "http://127.0.0.1:1", "--outbound", "not-an-address")]
    [InlineData("sidecar", 1, "/no/such/file.yaml", "--static", "/no/such/file.yaml", "--admin", "off", "--metrics", "off", "--readiness", "off")]
    [InlineData("control-plane", 2, "no-such-flag", "--no-such-flag")]
    [InlineData("control-plane", 2, "0.0.0.0:15010", "--xds", "0.0.0.0:15010")]
    [InlineData("control-plane", 2, "ftp://consul", "--consul", "ftp://consul")]
    public async Task Wrong_flags_are_refused_in_words(string program, int code, string named, params string[] arguments)
    {
        await using var process = ChildProcess.Start(program == "sidecar" ? Programs.Sidecar : Programs.ControlPlane, arguments);
        Assert.Equal(code, await process.WaitAsync(30));
        Assert.Contains(named, process.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", process.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("sidecar", "--outbound")]
    [InlineData("sidecar", "--admin")]
    [InlineData("control-plane", "--xds")]
    [InlineData("control-plane", "--registry")]
    public async Task A_taken_port_is_named(string program, string flag)
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var address = taken.LocalEndpoint.ToString()!;
        using var folder = new TemporaryFolder();
        string[] free = program == "sidecar"
            ? ["--control-plane", "http://127.0.0.1:1", "--outbound", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--readiness", "127.0.0.1:0"]
            : ["--data", folder.Path, "--mesh-api", "127.0.0.1:0", "--xds", "127.0.0.1:0", "--health", "127.0.0.1:0", "--operators", "127.0.0.1:0", "--registry", "127.0.0.1:0"];
        free[Array.IndexOf(free, flag) + 1] = address;
        await using var process = ChildProcess.Start(program == "sidecar" ? Programs.Sidecar : Programs.ControlPlane, free);
        Assert.Equal(1, await process.WaitAsync(30));
        Assert.Contains(address, process.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", process.Output, StringComparison.Ordinal);
    }
}
