using System.Net.Sockets;
using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;
using static Mesh.EndToEnd.Tests.Captured.ProtocolNetwork;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>A captured workload's sidecar is the way to its own application and to nothing else, whoever asks, from inside or outside, and however.</summary>
[Collection(ProtocolMachines.Group)]
public sealed class RelayTests(ProtocolMachines machines)
{
    private static readonly int[] OwnPorts = [15000, 15001, 15006, 15020, 15021, 15053];
    private static readonly string[] Cut = ["refused", "reset", "closed"];

    [SkippableTheory]
    [InlineData("nft")]
    [InlineData("iptables")]
    public Task The_sidecars_ports_serve_nobody_from_outside(string backend) => OnBothAsync(backend, async (network, target) =>
    {
        var before = await RefusedAsync(target, "not_redirected");
        foreach (var (who, address) in from who in new[] { network.Outside, network.Mesh.Control, network.Client.Host } from address in new[] { target.Host.Address, target.Host.Address6 } select (who, address))
        {
            foreach (var port in OwnPorts) Assert.Contains(await AskAsync(who, address, port), Cut);
        }

        // Who connects to the port that captures is cut there; the others listen on loopback alone.
        Assert.InRange(await RefusedAsync(target, "not_redirected"), before + 4, before + 100);
    });

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public Task The_sidecars_ports_serve_nobody_by_an_address_of_the_machine_itself(string backend) => OnBothAsync(backend, async (_, target) =>
    {
        var host = target.Host;
        foreach (var (address, port) in from address in new[] { host.Address, host.Address6 } from port in OwnPorts select (address, port)) Assert.Contains(await AskAsync(host, address, port), Cut);
        // What is captured comes here by the rules alone.
        var before = await RefusedAsync(target, "not_redirected");
        foreach (var address in (string[])["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::"]) Assert.Contains(await AskAsync(host, address, 15006), Cut);
        Assert.InRange(await RefusedAsync(target, "not_redirected"), before + 4, before + 100);
        foreach (var address in (string[])["127.0.0.1", "0.0.0.0", "::1", "::"]) Assert.Contains(await AskAsync(host, address, 15001), (string[])["404", "400"]);
    });

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public Task Nobody_is_led_to_the_admin_port_by_what_a_request_says(string backend) => OnBothAsync(backend, async (network, workload) =>
    {
        foreach (var (who, at) in from who in new[] { network.Outside, network.Client.Host } from at in new[] { workload.Host.Address, InUrl(workload.Host.Address6) } select (who, at))
        {
            foreach (var target in (string[])["127.0.0.1:15000", "[::1]:15000", "localhost:15000", $"{at}:15000", $"{at}:15001", "169.254.169.254:80", "stranger:8080"])
            {
                // The address that a connection was made to decides; the application is answerable for what it does with a Host it does not know.
                Assert.StartsWith("app GET /config_dump", (await who.CurlAsync("-H", $"Host: {target}", $"http://{at}:8080/config_dump")).Body, StringComparison.Ordinal);
                foreach (var answer in (Ran[])
                [
                    await who.CurlAsync("--request-target", $"http://{target}/config_dump", $"http://{at}:8080/"),
                    await who.CurlAsync("-p", "-x", $"http://{at}:8080", $"http://{target}/config_dump"),
                ])
                {
                    Assert.True(IsHarmless(answer), $"{target} by {at}: {answer.All}");
                }
            }
        }
    });

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public Task The_proxy_port_leads_to_no_port_of_the_sidecar(string backend) => machines.RunAsync(async network =>
    {
        var client = await ClientAsync(network, backend);
        var host = client.Host;
        string[] own = ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433"];
        foreach (var at in (string[])[.. own, "localhost", "0x7f000001", "[::]", "127.0.0.2", host.Address, InUrl(host.Address6)])
        {
            foreach (var port in OwnPorts)
            {
                foreach (var request in (string[])[$"GET http://{at}:{port}/config_dump HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", $"CONNECT {at}:{port} HTTP/1.1\r\nHost: x\r\n\r\nGET /config_dump HTTP/1.1\r\nHost: x\r\n\r\n"])
                {
                    using var socket = await host.ConnectAsync("127.0.0.1", 15001);
                    await Wire.SendAsync(socket, request);
                    try
                    {
                        Assert.Matches("^HTTP/1.1 [45]", await Wire.ReadToEndAsync(socket));
                    }
                    catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
                    {
                        // A tunnel to this machine's own address comes in like anybody's connection, and is cut there.
                        Assert.Contains(host.Address6.Contains(at.Trim('[', ']'), StringComparison.Ordinal) ? host.Address6 : host.Address, request, StringComparison.Ordinal);
                    }
                }
            }
        }

        // Said as what it is, and counted: each own address and port, both ways of asking.
        var before = await RefusedAsync(client, "own_port");
        foreach (var at in own)
        {
            var plain = await host.CurlAsync("-x", "http://127.0.0.1:15001", $"http://{at}:15001/");
            Assert.True(plain.Status == "508", $"{at}: {plain.All}");
            var tunnel = await host.CurlAsync("-p", "-x", "http://127.0.0.1:15001", $"http://{at}:15006/");
            Assert.True(tunnel.All.Contains("508", StringComparison.Ordinal), $"{at}: {tunnel.All}");
        }

        Assert.InRange(await RefusedAsync(client, "own_port"), before + 2 * own.Length, before + 4 * own.Length);
    });

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public Task A_machine_is_no_way_to_others(string backend) => OnBothAsync(backend, async (network, target) =>
    {
        var (control, servers) = (network.Mesh.Control, target.Host);
        foreach (var (foreign, via) in ((string, string)[])[("10.99.0.1", servers.Address), (network.Outside.Address, servers.Address), ("fd99::1", servers.Address6)])
        {
            control.Namespace.Ip($"route replace {foreign} via {via}");
            try
            {
                Assert.Contains(await AskAsync(control, foreign, 8080), (string[])[.. Cut, "silence"]);
            }
            finally
            {
                control.Namespace.Ip($"route del {foreign}");
            }
        }
    });

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public Task A_pods_address_is_that_pods_whatever_the_request_says(string backend) => machines.RunAsync(async network =>
    {
        var client = await ClientAsync(network, backend);
        await CapturedMesh.KnowsAsync(client, network.Servers, network.Web);
        var host = client.Host;
        // A port of it that nobody serves, with another service's name: nobody is asked in its place, though that name is a way there from elsewhere.
        Assert.Contains(await AskAsync(host, network.Servers.Host.Address, 9999, "web:8080"), Cut);
        Assert.StartsWith("app GET /config_dump", await AskAsync(host, network.Outside.Address, 9999, "web:8080"), StringComparison.Ordinal);
        Assert.StartsWith("app GET /config_dump", await AskAsync(host, network.Web.Host.Address, 8080, "servers"), StringComparison.Ordinal);
    });

    /// <summary>With inbound traffic by REDIRECT, and by TPROXY.</summary>
    private Task OnBothAsync(string backend, Func<ProtocolNetwork, CapturedWorkload, Task> test) => machines.RunAsync(async network =>
    {
        var (shown, _) = await network.TransparentAsync(backend);
        foreach (var workload in (CapturedWorkload[])[backend == "nft" ? network.Web : (await network.TablesAsync()).Workload, shown])
        {
            await CapturedMesh.KnowsAsync(network.Client, workload);
            await test(network, workload);
        }
    });

    private static async Task<CapturedWorkload> ClientAsync(ProtocolNetwork network, string backend) => backend == "nft" ? network.Client : (await network.TablesAsync()).Workload;

    private static Task<double> RefusedAsync(CapturedWorkload workload, string reason) => workload.MetricAsync("mesh_sidecar_capture_refused_total", $"reason=\"{reason}\"");

    private static bool IsHarmless(Ran answer) =>
        answer.Code != 0 || answer.Body.StartsWith("app GET ", StringComparison.Ordinal) || int.Parse(answer.Status, System.Globalization.CultureInfo.InvariantCulture) >= 400;

    /// <summary>What a request to that place is answered: how it was cut, the status of a refusal, else the body.</summary>
    private static async Task<string> AskAsync(NetworkHost from, string address, int port, string host = "x")
    {
        try
        {
            using var socket = await from.ConnectAsync(address, port, seconds: 1.5);
            await Wire.SendAsync(socket, $"GET /config_dump HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            var answer = await Wire.ReadToEndAsync(socket);
            if (answer.Length == 0) return "closed";
            if (!answer.StartsWith("HTTP/1.", StringComparison.Ordinal)) return "no HTTP: " + answer;
            return answer[9] is '4' or '5' ? answer[9..12] : answer[(answer.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..];
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode == SocketError.ConnectionRefused ? "refused" : "reset";
        }
        catch (OperationCanceledException)
        {
            return "silence";
        }
    }
}
