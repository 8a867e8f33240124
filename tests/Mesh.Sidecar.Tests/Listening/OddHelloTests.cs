using System.Text;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Listening;

/// <summary>What TLS clients say of themselves may be too long, or a lie: it leads nowhere else.</summary>
public sealed class OddHelloTests
{
    [Theory]
    [InlineData(64 * 1024 - 4)]
    [InlineData(17 * 1024)]
    [InlineData(16 * 1024)]
    public async Task ALongHelloGoesOnAsTheBytesItIs(int size)
    {
        await using var app = new RecordingOrigin(async c => await c.ReadToEndAsync());
        await using var bed = await Bed.StartAsync(at => Bed.Snap(Detecting.Permissive(at, Bed.Cluster(app.Address))));
        using var client = await bed.ConnectAsync();
        var hello = Hello(size);
        foreach (var piece in hello.Chunk(5000)) await client.SendAsync(piece);
        await Eventually.TrueAsync(() => app.AllBytes.Length == hello.Length, () => $"{app.AllBytes.Length} of {hello.Length}");
        Assert.Equal(Encoding.Latin1.GetString(hello), app.AllBytes);
    }

    /// <summary>The name of another service, of the sidecar, of nobody: the connection goes where it was made to.</summary>
    [Theory]
    [InlineData("outbound_.80_._.other.default.svc.cluster.local")]
    [InlineData("127.0.0.1:15000")]
    [InlineData("localhost")]
    public async Task ANameThatLiesChangesNothing(string name)
    {
        await using var app = new RecordingOrigin(async c => await c.ReadToEndAsync());
        await using var bed = await Bed.StartAsync(at => Bed.Snap(Detecting.Permissive(at, Bed.Cluster(app.Address))));
        using var client = await bed.ConnectAsync();
        var hello = Hello(400, name);
        await client.SendAsync(hello);
        await Eventually.TrueAsync(() => app.AllBytes.Length == hello.Length, () => $"{app.AllBytes.Length} of {hello.Length}");
        Assert.Equal(Encoding.Latin1.GetString(hello), app.AllBytes);
    }

    [Fact]
    public void ALongHelloIsNotWaitedForAndNotRead()
    {
        var terms = new FirstBytes(AsksForTls: true, SpeaksHttp: true, PassesBytes: true, TimeSpan.FromSeconds(5));
        // Its first record says how long it will be.
        Assert.Equal(Detected.Other, terms.Look(Hello(64 * 1024 - 4).AsSpan(0, 9)).Detected);
    }

    /// <summary>A hello of that many bytes, in records as large as they may be, filled up by padding.</summary>
    private static byte[] Hello(int size, string name = "")
    {
        byte[] names = name.Length == 0 ? [] : [0, 0, .. Vector([.. Vector([0, .. Vector(Encoding.Latin1.GetBytes(name))])])];
        var head = 2 + 32 + 1 + 4 + 2 + 2 + names.Length + 4;
        byte[] body = [3, 3, .. new byte[32], 0, 0, 2, 0x13, 1, 1, 0, .. Vector([.. names, 0, 21, .. Vector(new byte[size - head])])];
        byte[] message = [1, (byte)(body.Length >> 16), (byte)(body.Length >> 8), (byte)body.Length, .. body];
        return [.. message.Chunk(16 * 1024).SelectMany(chunk => (byte[])[22, 3, 1, .. Vector(chunk)])];
    }

    private static byte[] Vector(byte[] content) => [(byte)(content.Length >> 8), (byte)content.Length, .. content];
}
