using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Mesh.Sidecar.Tests.Testbed;

/// <summary>
/// A server that keeps every byte it gets, per connection, and answers as a script says. It knows just enough HTTP/1 to tell where a request
/// ends, and reads nothing leniently: what it records is what the proxy sent.
/// </summary>
internal sealed class RecordingOrigin : IAsyncDisposable
{
    private readonly Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly ConcurrentQueue<OriginConnection> connections = new();
    private readonly Func<OriginConnection, Task> script;
    private readonly Task loop;

    public RecordingOrigin(Func<OriginConnection, Task> script, int port = 0, bool everywhere = false)
    {
        this.script = script;
        listener.Bind(new IPEndPoint(everywhere ? IPAddress.Any : IPAddress.Loopback, port));
        listener.Listen(512);
        loop = AcceptAsync();
    }

    /// <summary>Answers every request with 200 and a small body.</summary>
    public static RecordingOrigin Friendly(string body = "hello") => new(async c =>
    {
        while (await c.ReadRequestAsync() is not null) await c.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}");
    });

    /// <summary>Answers every request with the same bytes.</summary>
    public static RecordingOrigin Saying(string answer, bool thenClose = false) => new(async c =>
    {
        while (await c.ReadRequestAsync() is not null)
        {
            await c.SendAsync(answer);
            if (thenClose) return;
        }
    });

    public IPEndPoint Address => new(IPAddress.Loopback, ((IPEndPoint)listener.LocalEndPoint!).Port);

    public IReadOnlyCollection<OriginConnection> Connections => connections;

    /// <summary>All requests, in the order they were read.</summary>
    public IEnumerable<OriginRequest> Requests => connections.SelectMany(c => c.Requests);

    /// <summary>All bytes of all connections.</summary>
    public string AllBytes => string.Concat(connections.Select(c => c.Raw));

    public async ValueTask DisposeAsync()
    {
        listener.Dispose();
        foreach (var c in connections) c.Socket.Dispose();
        await loop;
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                var connection = new OriginConnection(await listener.AcceptAsync());
                connections.Enqueue(connection);
                _ = ServeAsync(connection);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
        }
    }

    private async Task ServeAsync(OriginConnection connection)
    {
        try
        {
            await script(connection);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
        }
        finally
        {
            connection.Close();
        }
    }
}

/// <summary>A request as it came, byte for byte (Latin-1).</summary>
internal sealed record OriginRequest(string Head, string Body)
{
    public string Line => Head[..Head.IndexOf('\r', StringComparison.Ordinal)];

    public string[] Fields => Head.TrimEnd().Split("\r\n")[1..];

    /// <summary>Values of a field, in order.</summary>
    public string[] Values(string name) =>
        [.. Fields.Where(f => f.StartsWith(name + ":", StringComparison.OrdinalIgnoreCase)).Select(f => f[(name.Length + 1)..].Trim())];
}

/// <summary>One connection of a <see cref="RecordingOrigin"/>.</summary>
internal sealed class OriginConnection(Socket socket)
{
    private readonly Lock raw = new();
    private string text = "";
    private readonly List<OriginRequest> requests = [];
    private int read;

    public Socket Socket => socket;

    public string Raw
    {
        get { lock (raw) return text; }
    }

    public IReadOnlyList<OriginRequest> Requests
    {
        get { lock (raw) return [.. requests]; }
    }

    /// <summary>True when the peer has reset the connection.</summary>
    public bool WasReset { get; private set; }

    /// <summary>True once the peer has closed.</summary>
    public bool Ended { get; private set; }

    /// <summary>True once we have closed it: the peer's kernel knows.</summary>
    public volatile bool IsClosed;

    /// <summary>Ends it. Said first, since a program that another test just starts may hold the socket open for a moment.</summary>
    public void Close()
    {
        try
        {
            socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // It has ended already.
        }

        socket.Dispose();
        IsClosed = true;
    }

    public async Task SendAsync(string bytes) => await socket.SendAsync(Encoding.Latin1.GetBytes(bytes));

    /// <summary>Reads one request with its body; null at the end of the connection.</summary>
    public async Task<OriginRequest?> ReadRequestAsync(bool withBody = true)
    {
        if (await ReadHeadAsync() is not { } head) return null;
        var body = withBody ? await ReadBodyAsync(head) : "";
        var request = new OriginRequest(head, body);
        lock (raw) requests.Add(request);
        return request;
    }

    public async Task<string?> ReadHeadAsync()
    {
        int end;
        while ((end = Raw.IndexOf("\r\n\r\n", read, StringComparison.Ordinal)) < 0)
        {
            if (!await MoreAsync()) return null;
        }

        var head = Raw[read..(end + 4)];
        read = end + 4;
        return head;
    }

    /// <summary>Reads what comes until the peer closes.</summary>
    public async Task ReadToEndAsync()
    {
        while (await MoreAsync())
        {
        }
    }

    /// <summary>Reads exactly that many bytes.</summary>
    public async Task<string> ReadAsync(int count)
    {
        while (Raw.Length < read + count)
        {
            if (!await MoreAsync()) break;
        }

        var end = Math.Min(Raw.Length, read + count);
        var bytes = Raw[read..end];
        read = end;
        return bytes;
    }

    public async Task<string> ReadBodyAsync(string head)
    {
        var request = new OriginRequest(head, "");
        if (request.Values("Content-Length") is [var length]) return await ReadAsync(int.Parse(length));
        if (request.Values("Transfer-Encoding") is not ["chunked"]) return "";
        var body = new StringBuilder();
        while (true)
        {
            var size = Convert.ToInt32((await ReadLineAsync()).Trim(), 16);
            body.Append(await ReadAsync(size));
            await ReadLineAsync();
            if (size == 0) return body.ToString();
        }
    }

    public void Reset()
    {
        socket.LingerState = new LingerOption(true, 0);
        socket.Dispose();
    }

    private async Task<string> ReadLineAsync()
    {
        int end;
        while ((end = Raw.IndexOf('\n', read)) < 0)
        {
            if (!await MoreAsync()) return "0";
        }

        var line = Raw[read..(end + 1)];
        read = end + 1;
        return line;
    }

    private async Task<bool> MoreAsync()
    {
        var buffer = new byte[256 * 1024];
        var count = 0;
        try
        {
            count = await socket.ReceiveAsync(buffer);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            WasReset = true;
        }

        if (count == 0)
        {
            Ended = true;
            return false;
        }

        lock (raw) text += Encoding.Latin1.GetString(buffer, 0, count);
        return true;
    }
}
