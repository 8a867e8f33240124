using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Mesh.Sidecar.Tests.Testbed;

/// <summary>An answer as it came, byte for byte (Latin-1). <paramref name="Body"/> has its chunks taken apart.</summary>
internal sealed record RawAnswer(string Head, string Body)
{
    public int Status => int.Parse(Head.AsSpan(9, 3), CultureInfo.InvariantCulture);

    public string[] Fields => Head.TrimEnd().Split("\r\n")[1..];

    public string[] Values(string name) =>
        [.. Fields.Where(f => f.StartsWith(name + ":", StringComparison.OrdinalIgnoreCase)).Select(f => f[(name.Length + 1)..].Trim())];
}

/// <summary>A client that sends exactly the bytes it is given. Every wait is bounded.</summary>
internal sealed class RawClient : IDisposable
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(30);
    private readonly Socket socket;
    private int read;
    private string text = "";

    private RawClient(Socket socket) => this.socket = socket;

    public Socket Socket => socket;

    public static async Task<RawClient> ConnectAsync(IPEndPoint to, IPAddress? from = null)
    {
        var connected = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        if (from is not null) connected.Bind(new IPEndPoint(from, 0));
        await connected.ConnectAsync(to);
        return new RawClient(connected);
    }

    public async Task SendAsync(string bytes) => await socket.SendAsync(Encoding.Latin1.GetBytes(bytes));

    public async Task SendAsync(byte[] bytes) => await socket.SendAsync(bytes);

    /// <summary>Sends byte by byte.</summary>
    public async Task DripAsync(string bytes)
    {
        foreach (var b in Encoding.Latin1.GetBytes(bytes))
        {
            await socket.SendAsync(new[] { b });
            await Task.Yield();
        }
    }

    public void ShutdownSend() => socket.Shutdown(SocketShutdown.Send);

    public void Reset()
    {
        socket.LingerState = new LingerOption(true, 0);
        socket.Dispose();
    }

    /// <summary>Reads one answer; null when the connection ends before its head.</summary>
    public async Task<RawAnswer?> ReadAnswerAsync(bool head = false)
    {
        int end;
        while ((end = text.IndexOf("\r\n\r\n", read, StringComparison.Ordinal)) < 0)
        {
            if (!await MoreAsync()) return null;
        }

        var answer = new RawAnswer(text[read..(end + 4)], "");
        read = end + 4;
        return head || answer.Status is 204 or 304 or < 200 ? answer : answer with { Body = await ReadBodyAsync(answer) };
    }

    /// <summary>Reads exactly that many bytes, or what there is until the end.</summary>
    public async Task<string> ReadAsync(int count)
    {
        while (text.Length < read + count)
        {
            if (!await MoreAsync()) break;
        }

        var end = Math.Min(text.Length, read + count);
        var bytes = text[read..end];
        read = end;
        return bytes;
    }

    /// <summary>Reads until the server closes; a reset counts as the end.</summary>
    public async Task<string> ReadToEndAsync()
    {
        while (await MoreAsync())
        {
        }

        var rest = text[read..];
        read = text.Length;
        return rest;
    }

    /// <summary>True when the server ends the connection in that time; what it says meanwhile is kept.</summary>
    public async Task<bool> EndsWithinAsync(TimeSpan bound)
    {
        try
        {
            while (await MoreAsync(bound))
            {
            }

            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    /// <summary>True when the server ended the connection with a reset.</summary>
    public bool WasReset { get; private set; }

    public void Dispose() => socket.Dispose();

    private async Task<string> ReadBodyAsync(RawAnswer answer)
    {
        if (answer.Values("Content-Length") is [var length]) return await ReadAsync(int.Parse(length, CultureInfo.InvariantCulture));
        if (answer.Values("Transfer-Encoding") is not ["chunked"]) return await ReadToEndAsync();
        var body = new StringBuilder();
        while (true)
        {
            var line = await ReadLineAsync();
            if (line.Length == 0) return body + "<cut>";
            var size = Convert.ToInt32(line.Trim(), 16);
            body.Append(await ReadAsync(size));
            await ReadLineAsync();
            if (size == 0) return body.ToString();
        }
    }

    private async Task<string> ReadLineAsync()
    {
        int end;
        while ((end = text.IndexOf('\n', read)) < 0)
        {
            if (!await MoreAsync()) return "";
        }

        var line = text[read..(end + 1)];
        read = end + 1;
        return line;
    }

    private Task<bool> MoreAsync() => MoreAsync(Bound);

    private async Task<bool> MoreAsync(TimeSpan wait)
    {
        var buffer = new byte[256 * 1024];
        using var bound = new CancellationTokenSource(wait);
        try
        {
            var count = await socket.ReceiveAsync(buffer, SocketFlags.None, bound.Token);
            text += Encoding.Latin1.GetString(buffer, 0, count);
            return count > 0;
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionReset or SocketError.ConnectionAborted)
        {
            WasReset = true;
            return false;
        }
        catch (OperationCanceledException e)
        {
            throw new TimeoutException($"nothing more came in {wait}; so far {text.Length - read} bytes: {text.AsSpan(read, Math.Min(1000, text.Length - read))}", e);
        }
    }
}
