using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Listening;

/// <summary>Clients that connect and say nothing: anybody can be one, many times.</summary>
[Collection("alone")]
public sealed class SilentClientsTests
{
    private const int Clients = 1000;

    [Fact]
    public async Task EachCostsLittleMemory()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        Assert.Equal(200, (await pair.Client.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\n\r\n"))!.Status);
        var open = pair.Server.Sink.Own.DownstreamOpen.Value;
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var clients = await Task.WhenAll(Enumerable.Range(0, Clients).Select(_ => RawClient.ConnectAsync(pair.Server.Port)));
        try
        {
            await Eventually.TrueAsync(() => pair.Server.Sink.Own.DownstreamOpen.Value >= open + Clients);
            // Sockets of both sides are in this process.
            Assert.InRange((GC.GetTotalMemory(forceFullCollection: true) - before) / Clients, 0, 12_000);
        }
        finally
        {
            foreach (var client in clients) client.Dispose();
        }
    }
}
