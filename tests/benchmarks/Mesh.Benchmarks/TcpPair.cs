using System.Diagnostics;

namespace Mesh.Benchmarks;

/// <summary>
/// Bench <c>tcp-pair</c>: a client's and a server's proxy on one core that pass bytes on, with mutual TLS between them and in plaintext: one stream, a connection for
/// each request, and requests on connections that stay. The last is also measured of HAProxy's pair that reads HTTP: 0.66 of that is what ztunnel needs.
/// </summary>
internal sealed class TcpPair(int rounds, int seconds)
{
    public const string Name = "tcp-pair";
    private const int Connections = 32;
    private readonly string folder = Directory.CreateTempSubdirectory("mesh-bench-").FullName;
    private readonly int sink = Ports.Free();

    public IEnumerable<Figure> Run()
    {
        var certificates = new PairCertificates(Path.Combine(folder, "certificates"));
        using var backend = Hops.StartBackend(Cores.Backend, folder);
        backend.WaitForFirstResponse(Stopwatch.StartNew());
        var pairs = new List<Pair>();
        try
        {
            foreach (var name in PairPrograms.Available) pairs.Add(Pair.Start(name, backend.Port, sink, Cores.Proxy, folder, certificates));
            pairs.ForEach(WarmUp);
            var stream = Interleave("stream, mutual TLS", pairs, p => PerMebibyte(p, p.Stream));
            var plain = Interleave("stream, plaintext", pairs, p => PerMebibyte(p, p.Plain));
            var connection = Interleave("connection, mutual TLS", pairs, p => PerRequest(p, p.Connect, seconds, reuse: false));
            var plainConnection = Interleave("connection, plaintext", pairs, p => PerRequest(p, p.PlainConnect, seconds, reuse: false));
            var request = Requests(pairs);
            Directory.Delete(folder, recursive: true); // With the keys. What failed leaves its logs.
            return Figures(("cpu_us_per_mib", stream), ("cpu_us_per_mib_plain", plain), ("cpu_us_per_connection", connection),
                ("cpu_us_per_connection_plain", plainConnection), ("cpu_us_per_request", request)).ToList();
        }
        finally
        {
            pairs.ForEach(p => p.Dispose());
        }
    }

    private static IEnumerable<Figure> Figures(params (string Metric, Dictionary<string, List<double>> Values)[] measured)
    {
        foreach (var (metric, values) in measured)
        {
            foreach (var peer in values.Keys.Where(k => k != "mesh"))
            {
                var (ours, theirs) = Rounds.Compare(values["mesh"], values[peer]);
                yield return new(Name, peer, metric, ours, theirs);
            }
        }
    }

    private void WarmUp(Pair pair)
    {
        Rounds.Settle(pair.Name, () => PerRequest(pair, pair.Connect, 1, reuse: true), most: 8);
        Rounds.Settle(pair.Name + " connections", () => PerRequest(pair, pair.Connect, 1, reuse: false), most: 6);
        Rounds.Settle(pair.Name + " plain connections", () => PerRequest(pair, pair.PlainConnect, 1, reuse: false), most: 4);
        Load.Stream(Cores.Load, sink, pair.Stream, 1);
        Load.Stream(Cores.Load, sink, pair.Plain, 1);
    }

    /// <summary>Requests as bytes through all pairs, and through HAProxy's once more as HTTP.</summary>
    private Dictionary<string, List<double>> Requests(List<Pair> pairs)
    {
        var ways = pairs.Select(p => (p.Name, Pair: p, Port: p.Connect)).ToList();
        var haproxy = pairs.Single(p => p.Name == "haproxy");
        ways.Add(("haproxy-http", haproxy, haproxy.Http));
        Console.Error.WriteLine("requests, mutual TLS");
        return Rounds.Interleave(rounds, ways, w => w.Name, w => PerRequest(w.Pair, w.Port, seconds, reuse: true));
    }

    private static double PerRequest(Pair pair, int port, int window, bool reuse)
    {
        var before = pair.CpuMicroseconds();
        var count = Load.Wrk(Cores.Load, port, Connections, window, reuse);
        return (pair.CpuMicroseconds() - before) / count;
    }

    private double PerMebibyte(Pair pair, int port)
    {
        var before = pair.CpuMicroseconds();
        var bytes = Load.Stream(Cores.Load, sink, port, Math.Max(1, seconds / 2));
        return (pair.CpuMicroseconds() - before) / (bytes / 1048576.0);
    }

    private Dictionary<string, List<double>> Interleave(string what, List<Pair> pairs, Func<Pair, double> measure)
    {
        Console.Error.WriteLine(what);
        return Rounds.Interleave(rounds, pairs, p => p.Name, measure);
    }
}
