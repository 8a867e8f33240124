using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Mesh.EndToEnd.Tests.Testbed;

/// <summary>A TCP server that sends back every byte; counts its connections.</summary>
internal sealed class EchoServer : IAsyncDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly Task accepting;
    private int connections;

    public EchoServer()
    {
        listener.Start();
        accepting = AcceptAsync();
    }

    /// <summary>Port.</summary>
    public int Port => ((IPEndPoint)listener.LocalEndpoint).Port;

    /// <summary>Connections that were ever accepted.</summary>
    public int Connections => Volatile.Read(ref connections);

    public async ValueTask DisposeAsync()
    {
        listener.Stop();
        await accepting;
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                var client = await listener.AcceptTcpClientAsync();
                Interlocked.Increment(ref connections);
                _ = EchoAsync(client);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Stopped.
        }
    }

    private static async Task EchoAsync(TcpClient client)
    {
        using (client)
        {
            try
            {
                client.NoDelay = true;
                await client.GetStream().CopyToAsync(client.GetStream());
            }
            catch (Exception e) when (e is IOException or SocketException)
            {
                // The test sees it at the other end.
            }
        }
    }
}

/// <summary>
/// One TCP connection that is open throughout a test: sends a numbered line every few milliseconds and checks that each comes back whole and in
/// order. What goes wrong is kept for the test to read.
/// </summary>
internal sealed class SteadyStream : IAsyncDisposable
{
    private readonly TcpClient client;
    private readonly CancellationTokenSource stop = new();
    private readonly Task running;
    private int echoed;

    private SteadyStream(TcpClient client)
    {
        this.client = client;
        running = Task.Run(RunAsync);
    }

    /// <summary>Lines that came back.</summary>
    public int Echoed => Volatile.Read(ref echoed);

    /// <summary>Completes when the connection ends, or a line did not come back: with the reason as its exception.</summary>
    public Task Ended => running;

    /// <summary>Dials and begins.</summary>
    public static async Task<SteadyStream> OpenAsync(string address)
    {
        var dialed = new TcpClient { NoDelay = true };
        var to = IPEndPoint.Parse(address);
        await dialed.ConnectAsync(to.Address, to.Port);
        return new SteadyStream(dialed);
    }

    /// <summary>Fails when the connection ended or does not carry lines any more.</summary>
    public async Task AssertAliveAsync()
    {
        var before = Echoed;
        await Mesh.Tests.Eventually.HoldsAsync(() => running.IsCompleted || Echoed > before + 3, "the stream goes on");
        if (running.IsCompleted) await running;
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        client.Dispose();
        await running.ContinueWith(_ => { }, TaskScheduler.Default);
        stop.Dispose();
    }

    private async Task RunAsync()
    {
        await using var stream = client.GetStream();
        using var reader = new StreamReader(stream, leaveOpen: true);
        for (var i = 0; !stop.IsCancellationRequested; i++)
        {
            var line = string.Create(CultureInfo.InvariantCulture, $"line {i} of a connection that nothing may cut");
            await stream.WriteAsync(System.Text.Encoding.ASCII.GetBytes(line + "\n"), stop.Token);
            var back = await reader.ReadLineAsync(stop.Token).AsTask().WaitAsync(TimeSpan.FromSeconds(20), stop.Token)
                ?? throw new IOException($"the connection was closed after {i} lines");
            if (back != line) throw new IOException($"line {i} came back as '{back}'");
            Interlocked.Increment(ref echoed);
            await Task.Delay(10, stop.Token);
        }
    }
}
