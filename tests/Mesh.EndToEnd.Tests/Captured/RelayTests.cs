using System.Net.Sockets;
using Mesh.EndToEnd.Tests.Testbed.Network;
using static Mesh.EndToEnd.Tests.Captured.ProtocolNetwork;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>A captured workload's sidecar is the way to its own application and to nothing else, whoever asks, from inside or outside, and however.</summary>
[Collection(ProtocolMachines.Group)]
public sealed class RelayTests(ProtocolMachines machines)
{
    private static readonly int[] OwnPorts = [15000, 15001, 15006, 15020, 15021, 15053];

    [SkippableFact]
    public Task The_sidecars_ports_serve_nobody_from_outside() => machines.RunAsync(async network =>
    {
        foreach (var (who, address) in from who in new[] { network.Outside, network.Mesh.Control, network.Client.Host } from address in new[] { network.Web.Host.Address, network.Web.Host.Address6 } select (who, address))
        {
            foreach (var port in OwnPorts) Assert.Equal("nothing", await AskAsync(who, address, port));
        }
    });

    [SkippableFact]
    public Task The_sidecars_ports_serve_nobody_by_an_address_of_the_machine_itself() => machines.RunAsync(async network =>
    {
        var host = network.Web.Host;
        foreach (var (address, port) in from address in new[] { host.Address, host.Address6 } from port in OwnPorts select (address, port)) Assert.Equal("nothing", await AskAsync(host, address, port));
        // What is captured comes here by the rules alone.
        foreach (var address in (string[])["127.0.0.1", "::1"]) Assert.Equal("nothing", await AskAsync(host, address, 15006));
    });

    [SkippableFact]
    public Task Nobody_is_led_to_the_admin_port_by_what_a_request_says() => machines.RunAsync(async network =>
    {
        foreach (var (who, at) in from who in new[] { network.Outside, network.Client.Host } from at in new[] { network.Web.Host.Address, InUrl(network.Web.Host.Address6) } select (who, at))
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

    [SkippableFact]
    public Task The_proxy_port_leads_to_no_port_of_the_sidecar() => machines.RunAsync(async network =>
    {
        var host = network.Client.Host;
        string[] targets = [.. from at in new[] { host.Address, InUrl(host.Address6), "127.0.0.1", "[::1]", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0" } from port in new[] { 15000, 15001, 15006, 15020 } select $"{at}:{port}"];
        foreach (var target in targets)
        {
            foreach (var flags in (string[][])[[], ["-p"]])
            {
                var answer = await host.CurlAsync([.. flags, "--max-time", "5", "-x", "http://127.0.0.1:15001", $"http://{target}/config_dump"]);
                Assert.True(IsHarmless(answer), $"{target} {string.Join(' ', flags)}: {answer.All}");
            }
        }
    });

    [SkippableFact]
    public Task A_machine_is_no_way_to_others() => machines.RunAsync(async network =>
    {
        var (control, servers) = (network.Mesh.Control, network.Web.Host);
        foreach (var (foreign, via) in ((string, string)[])[("10.99.0.1", servers.Address), (network.Outside.Address, servers.Address), ("fd99::1", servers.Address6)])
        {
            control.Namespace.Ip($"route replace {foreign} via {via}");
            try
            {
                Assert.Equal("nothing", await AskAsync(control, foreign, 8080));
            }
            finally
            {
                control.Namespace.Ip($"route del {foreign}");
            }
        }
    });

    [SkippableFact]
    public Task A_destination_that_comes_back_is_cut_and_counted() => machines.RunAsync(async network =>
    {
        var host = network.Client.Host;
        var before = await network.Client.MetricsAsync();
        Assert.Equal("nothing", await AskAsync(host, host.Address, 15001));
        var answer = await host.CurlAsync("-x", "http://127.0.0.1:15001", $"http://{host.Address}:15001/");
        Assert.True(answer.Status is "508" or "502" or "503" or "403", answer.All);
        Assert.NotEqual(before, await network.Client.MetricsAsync());
    });

    private static bool IsHarmless(Ran answer) =>
        answer.Code != 0 || answer.Body.StartsWith("app GET ", StringComparison.Ordinal) || int.Parse(answer.Status, System.Globalization.CultureInfo.InvariantCulture) >= 400;

    /// <summary>What a request to that place is answered: <c>nothing</c>, in whatever way, or the bytes.</summary>
    private static async Task<string> AskAsync(NetworkHost from, string address, int port)
    {
        try
        {
            using var socket = await from.ConnectAsync(address, port, seconds: 1.5);
            await Wire.SendAsync(socket, "GET /config_dump HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            var answer = await Wire.ReadToEndAsync(socket);
            return answer.Length == 0 || answer.StartsWith("HTTP/1.1 5", StringComparison.Ordinal) || answer.StartsWith("HTTP/1.1 4", StringComparison.Ordinal) ? "nothing" : answer;
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            return "nothing";
        }
    }
}
