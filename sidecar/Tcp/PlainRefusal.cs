using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Tcp;

/// <summary>Tells an HTTP/1 client whose connection no engine has why it is refused. Stateless.</summary>
internal static class PlainRefusal
{
    private const int MostDrained = 64 * 1024;
    private static readonly TimeSpan Linger = TimeSpan.FromSeconds(1);

    /// <summary>Answers by the table of failures and closes.</summary>
    public static async Task AnswerAsync(Socket client, Failure failure, string detail, TimeProvider time)
    {
        var row = Failures.Of(failure);
        var text = $"mesh: {detail}\nflag: {row.Flag} ({row.Detail})\nhint: {row.Hint}\n";
        var answer = string.Create(CultureInfo.InvariantCulture,
            $"HTTP/1.1 {row.Status} Refused\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {Encoding.UTF8.GetByteCount(text)}\r\nx-mesh-failure: {row.Flag}\r\nConnection: close\r\n\r\n{text}");
        await SayAsync(client, answer, time);
    }

    /// <summary>Sends an answer and closes.</summary>
    public static async Task SayAsync(Socket client, string answer, TimeProvider time)
    {
        await client.SendAsync(Encoding.UTF8.GetBytes(answer), SocketFlags.None);
        client.Shutdown(SocketShutdown.Send);
        // What was sent and not read would turn the close into a reset, and the answer might be lost with it.
        using var bound = new CancellationTokenSource(Linger, time);
        try
        {
            var scrap = new byte[4096];
            for (var drained = 0; drained < MostDrained;)
            {
                var count = await client.ReceiveAsync(scrap, SocketFlags.None, bound.Token);
                if (count == 0) break;
                drained += count;
            }
        }
        catch (OperationCanceledException)
        {
            // It had its time.
        }

        client.Dispose();
    }
}
