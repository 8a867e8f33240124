namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>File transfer, whose data comes on connections of its own to ports that nobody declared, in either direction.</summary>
[Collection(ProtocolMachines.Group)]
public sealed class FilesTests(ProtocolMachines machines)
{
    [SkippableFact]
    public Task Files() => machines.RunOnServerAsync("files", ["21"], Servers.FtpAsync, async (network, address) =>
    {
        // The server names a port of its own choice for the data. That one is the instance's, so who called the service's address has to believe the
        // address that comes with the port, which only IPv4 has.
        var instance = network.Mesh.Workloads.Single(w => w.Host.Name == "files").Address;
        string[] way = address == instance ? [] : ["-4", "--disable-epsv", "--no-ftp-skip-pasv-ip"];
        if (address.Contains(':', StringComparison.Ordinal))
        {
            Assert.Contains("Content-Length: 3000000", (await network.Client.Host.CurlAsync("-I", $"ftp://[{address}]/large")).Output, StringComparison.Ordinal);
            return;
        }

        var taken = await network.Client.Host.CurlAsync([.. way, "-o", "/dev/null", "-w", "%{size_download}\n%{http_code}", $"ftp://{address}/large"]);
        Assert.True(taken.Output == "3000000\n226", taken.All);
        Assert.Contains("large", (await network.Client.Host.CurlAsync([.. way, $"ftp://{address}/"])).Output, StringComparison.Ordinal);
        // The other way round: the server calls the client, as its proven self.
        var sent = await network.Client.Host.CurlAsync("-4", "--ftp-port", "-", "-o", "/dev/null", "-w", "%{size_download}\n%{http_code}", $"ftp://{address}/large");
        Assert.True(sent.Output == "3000000\n226", sent.All);
    });
}
