using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Testbed;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>HTTP/2's word that a request was not processed: it is sent again, its body too, and only then.</summary>
public sealed class RefusedStreamTests
{
    private const string Settings = "\0\0\0\u0004\0\0\0\0\0";
    private const string Acknowledged = "\0\0\0\u0004\u0001\0\0\0\0";

    public static TheoryData<string, bool> Answers => new()
    {
        { "RST_STREAM REFUSED_STREAM", true },
        { "GOAWAY, nothing processed", true },
        { "RST_STREAM INTERNAL_ERROR", false },
    };

    [Theory]
    [MemberData(nameof(Answers))]
    public async Task ARequestWithABodyIsSentAgainWhenItWasRefused(string how, bool again)
    {
        var requests = 0;
        await using var origin = new RecordingOrigin(c => ServeAsync(c, stream => Interlocked.Increment(ref requests) > 1 ? Ok(stream) : Refuse(how, stream)));
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(UpstreamProtocol.Http2, origin.Address, origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello");
        var answer = await client.ReadAnswerAsync();
        Assert.Equal((how, again ? 200 : 502), (how, answer!.Status));
        Assert.Equal(again ? 2 : 1, requests);
        Assert.Equal(again ? 1 : 0, bed.Sink.Own.Retries.Value);
    }

    /// <summary>An HTTP/2 server of a few lines: answers the headers of each stream, once its body is whole, with the bytes it is told.</summary>
    private static async Task ServeAsync(OriginConnection c, Func<byte, string> answer)
    {
        await c.ReadAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".Length);
        await c.SendAsync(Settings);
        while (await c.ReadAsync(9) is { Length: 9 } head)
        {
            await c.ReadAsync((head[0] << 16) | (head[1] << 8) | head[2]);
            if (head[3] == 4 && head[4] == 0) await c.SendAsync(Acknowledged);
            // HEADERS or DATA with END_STREAM
            if (head[3] is '\0' or '\u0001' && (head[4] & 1) != 0) await c.SendAsync(answer((byte)head[8]));
        }
    }

    private static string Ok(byte stream) => $"\0\0\u0001\u0001\u0005\0\0\0{(char)stream}\u0088";

    private static string Refuse(string how, byte stream) => how switch
    {
        "GOAWAY, nothing processed" => "\0\0\u0008\u0007\0\0\0\0\0\0\0\0\0\0\0\0\0",
        "RST_STREAM REFUSED_STREAM" => $"\0\0\u0004\u0003\0\0\0\0{(char)stream}\0\0\0\u0007",
        _ => $"\0\0\u0004\u0003\0\0\0\0{(char)stream}\0\0\0\u0002",
    };
}
