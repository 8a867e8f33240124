using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Mesh.Benchmarks;

/// <summary>
/// Bench <c>detection</c>: time from connect to the server's first byte through one plaintext hop on ports of undeclared protocol, beside ports that
/// are declared. A server that speaks first: to the first client of a port, and to later ones; HTTP: a request on a connection of its own.
/// </summary>
internal sealed class Detection(int rounds)
{
    public const string Name = "detection";
    private const int EachRound = 200;
    private static readonly byte[] Get = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"u8.ToArray();
    private readonly string folder = Directory.CreateTempSubdirectory("mesh-bench-").FullName;

    public IEnumerable<Figure> Run()
    {
        using var web = Hops.StartBackend(Cores.Backend, folder);
        web.WaitForFirstResponse(Stopwatch.StartNew());
        using var mail = new Greeter();
        var fresh = Enumerable.Range(0, rounds * 10).Select(i => new Leg($"mail-{i}", true, Ports.Free(), mail.Port) { Detects = true }).ToList();
        var declaredMail = new Leg("mail", false, Ports.Free(), mail.Port);
        var declared = new Leg("web", true, Ports.Free(), web.Port);
        var detected = new Leg("web-detected", true, Ports.Free(), web.Port) { Detects = true };
        using var subject = PairPrograms.StartStatic("mesh", folder, Cores.Proxy, PairResources.Write("client", [.. fresh, declaredMail, declared, detected], null, forEnvoy: false));
        subject.WaitForFirstResponse(Stopwatch.StartNew(), port: declared.Listen);
        // Nothing is measured of code that runs for the first time.
        for (var i = 0; i < 300; i++)
        {
            FirstByte(declaredMail.Listen, []);
            FirstByte(detected.Listen, Get);
            FirstByte(declared.Listen, Get);
        }

        var ways = new List<(string Name, int Port, byte[] Say)> { ("later", fresh[0].Listen, []), ("tcp", declaredMail.Listen, []), ("detected", detected.Listen, Get), ("http", declared.Listen, Get) };
        FirstByte(fresh[0].Listen, []);
        var first = fresh.Skip(1).Select(leg => FirstByte(leg.Listen, [])).ToList();
        var all = ways.ToDictionary(w => w.Name, _ => new List<double>());
        for (var i = 0; i < rounds * EachRound; i++)
        {
            foreach (var way in ways) all[way.Name].Add(FirstByte(way.Port, way.Say));
        }

        foreach (var (share, text) in new[] { (0.5, "p50"), (0.99, "p99") })
        {
            yield return new(Name, "declared", $"server_first_byte_ms_first_{text}", Stats.Percentile(first, share), Stats.Percentile(all["tcp"], share));
            yield return new(Name, "declared", $"server_first_byte_ms_later_{text}", Stats.Percentile(all["later"], share), Stats.Percentile(all["tcp"], share));
            yield return new(Name, "declared", $"http_first_byte_ms_{text}", Stats.Percentile(all["detected"], share), Stats.Percentile(all["http"], share));
        }
    }

    private static double FirstByte(int port, byte[] say)
    {
        var begun = Stopwatch.GetTimestamp();
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, LingerState = new LingerOption(true, 0), ReceiveTimeout = 20_000 };
        socket.Connect(IPAddress.Loopback, port);
        if (say.Length > 0) socket.Send(say);
        if (socket.Receive(new byte[256]) == 0) throw new InvalidOperationException($"port {port} closed a connection");
        return Stopwatch.GetElapsedTime(begun).TotalMilliseconds;
    }

    /// <summary>A server that speaks first.</summary>
    private sealed class Greeter : IDisposable
    {
        private readonly TcpListener listener = new(IPAddress.Loopback, 0);

        public Greeter()
        {
            listener.Start(1024);
            new Thread(Accept) { IsBackground = true }.Start();
        }

        public int Port => ((IPEndPoint)listener.LocalEndpoint).Port;

        public void Dispose() => listener.Dispose();

        private void Accept()
        {
            try
            {
                while (true)
                {
                    var socket = listener.AcceptSocket();
                    socket.Send("220 mail.example ESMTP\r\n"u8);
                    _ = DrainAsync(socket);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // Ended.
            }
        }

        /// <summary>Until the other side closes.</summary>
        private static async Task DrainAsync(Socket socket)
        {
            using (socket)
            {
                try
                {
                    while (await socket.ReceiveAsync(new byte[64]) > 0)
                    {
                    }
                }
                catch (SocketException)
                {
                    // Reset.
                }
            }
        }
    }
}
