using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>That it works is one thing; that nobody on the wire can read it, and that the server's sidecar knows who called, is judged here. Stateless.</summary>
internal static class Secrecy
{
    /// <summary>Runs what one machine says to another: no word of it may be seen on the wire, and the server's sidecar has to have heard a proven caller, and no other.</summary>
    public static async Task HoldsAsync(NetworkTestbed network, CapturedWorkload client, CapturedWorkload server, Func<Task> test)
    {
        var before = await ProvedAsync(client, server);
        using var tap = LanTap.Start(network);
        await test();
        tap.Stop();
        Assert.True(tap.Problems(client.Host, server.Host) is [], string.Join('\n', tap.Problems(client.Host, server.Host)));
        await Eventually.PassesAsync(async () => Assert.True(await ProvedAsync(client, server) > before, $"the sidecar of {server.Host.Name} saw no more calls of {client.Host.Name}: {await server.MetricsAsync()}"));
        Assert.Equal(0, await CountAsync(server, "connection_security_policy=\"none\"", $"source_workload=\"{client.Host.Name}\""));
    }

    /// <summary>Requests and connections of the client as its proven self.</summary>
    private static Task<double> ProvedAsync(CapturedWorkload client, CapturedWorkload server) =>
        CountAsync(server, "connection_security_policy=\"mutual_tls\"", $"source_principal=\"spiffe://cluster.local/ns/default/sa/{client.Service}\"");

    private static async Task<double> CountAsync(CapturedWorkload server, params string[] labels)
    {
        string[] all = [.. labels, "reporter=\"destination\""];
        var metrics = await server.MetricsAsync();
        return CapturedWorkload.SumOf(metrics, "istio_requests_total", all) + CapturedWorkload.SumOf(metrics, "istio_tcp_connections_opened_total", all);
    }
}
