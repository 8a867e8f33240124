using System.Net.Sockets;
using System.Text;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>Talks on raw sockets, with a bound for each wait. Stateless.</summary>
internal static class Wire
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    /// <summary>Sends text.</summary>
    public static async Task SendAsync(Socket socket, string text) => await socket.SendAsync(Encoding.Latin1.GetBytes(text));

    /// <summary>All that comes until the other side ends in order.</summary>
    public static async Task<string> ReadToEndAsync(Socket socket) => await ReadAsync(socket, _ => false);

    /// <summary>What comes until it ends with this.</summary>
    public static async Task<string> ReadUntilAsync(Socket socket, string end)
    {
        var text = await ReadAsync(socket, t => t.EndsWith(end, StringComparison.Ordinal));
        Assert.True(text.EndsWith(end, StringComparison.Ordinal), $"the other side ended after \"{text}\"");
        return text;
    }

    /// <summary>What comes until it contains this, or until the other side ends in order.</summary>
    public static async Task<string> ReadAsync(Socket socket, Func<string, bool> enough)
    {
        using var limit = new CancellationTokenSource(Patience);
        var text = new StringBuilder();
        var buffer = new byte[65536];
        while (true)
        {
            var count = await socket.ReceiveAsync(buffer, limit.Token);
            text.Append(Encoding.Latin1.GetString(buffer, 0, count));
            if (count == 0 || enough(text.ToString())) return text.ToString();
        }
    }

    /// <summary>How a connection ends: <c>closed</c> in order, or <c>reset</c>; what still comes is thrown away.</summary>
    public static async Task<string> EndAsync(Socket socket)
    {
        try
        {
            await ReadToEndAsync(socket);
            return "closed";
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            return "reset";
        }
    }

    /// <summary>Ends a connection by a reset.</summary>
    public static void Reset(Socket socket)
    {
        socket.LingerState = new LingerOption(enable: true, seconds: 0);
        socket.Dispose();
    }
}
