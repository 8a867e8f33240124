using static Mesh.EndToEnd.Tests.Captured.ProtocolNetwork;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>What a web server of its own (nginx) speaks, TLS and HTTP/2, through capture and mutual TLS; and what is no TCP.</summary>
[Collection(ProtocolMachines.Group)]
public sealed class TlsTests(ProtocolMachines machines)
{
    private static readonly string[] Ports = ["8443", "8083:http2:h2c", "8084"];

    [SkippableFact]
    public Task The_applications_own_tls_passes_by_its_server_name() => machines.RunOnServerAsync("nginx", Ports, Servers.NginxAsync, async (network, address) =>
    {
        foreach (var (version, said) in (((string, string)[])[("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")]))
        {
            // The certificate that curl sees is the application's.
            var asked = await network.Client.Host.CurlAsync(version, "-k", "-v", "--connect-to", $"secure.example:8443:{InUrl(address)}:8443", "https://secure.example:8443/");
            Assert.Equal($"secure.example {said}\n200", asked.Output);
            Assert.Contains("subject: CN=secure.example", asked.Error, StringComparison.Ordinal);
        }
    });

    [SkippableTheory]
    [InlineData(8083)]
    [InlineData(8084)]
    public Task Http2_by_prior_knowledge(int port) => machines.RunOnServerAsync("nginx", Ports, Servers.NginxAsync, async (network, address) =>
    {
        var url = $"http://{InUrl(address)}:{port}/";
        Assert.Equal("h2c HTTP/2.0\n200", (await network.Client.Host.CurlAsync("--http2-prior-knowledge", url)).Output);
        Assert.Equal("5000000\n2", (await network.Client.Host.CurlAsync("--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{size_download}\n%{http_version}", url + "large")).Output);
        Assert.Matches("(?s)^HTTP/2 404 .*\n404$", (await network.Client.Host.CurlAsync("--http2-prior-knowledge", "-I", url + "nothing")).Output);
    });

    [SkippableFact]
    public Task What_is_not_tcp_passes_and_check_says_so() => machines.RunAsync(async network =>
    {
        await network.Outside.ServeAsync("serving", CapturedShop.Python, "-uc", """
            import socket
            s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            s.bind(("::", 5000))
            print("serving")
            while True:
                data, peer = s.recvfrom(2000)
                s.sendto(data + b" from " + peer[0].removeprefix("::ffff:").encode(), peer)
            """);
        foreach (var (address, from) in ((string, string)[])[(network.Outside.Address, network.Client.Host.Address), (network.Outside.Address6, network.Client.Host.Address6)])
        {
            var asked = await network.Client.Host.RunAsync(CapturedShop.Python, "-c", """
                import socket, sys
                s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
                s.settimeout(5)
                s.sendto(b"hello", (sys.argv[1], 5000))
                print(s.recv(2000).decode())
                """, address);
            Assert.Equal($"hello from {from}\n", asked.Output);
        }

        Assert.Contains("UDP", await network.Client.CaptureAsync("check"), StringComparison.Ordinal);
    });
}
