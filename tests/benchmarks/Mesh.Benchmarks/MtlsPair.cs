using System.Diagnostics;

namespace Mesh.Benchmarks;

/// <summary>
/// Bench <c>mtls-pair</c>: a client's and a server's proxy on one core with mutual TLS between them, HTTP/1.1 in and out; then connections that each need a
/// full handshake, and one TCP stream, over mutual TLS and in plaintext. The pairs stay up all the time and are measured in turn.
/// </summary>
internal sealed class MtlsPair(int rounds, int seconds)
{
    public const string Name = "mtls-pair";
    private const int Connections = 32;
    private const int Rate = 1000;
    private const int RateConnections = 16;
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
            var cpu = Interleave("CPU per request", pairs, p => CpuPerRequest(p, seconds));
            var added = Latency(backend, pairs);
            var handshakes = Interleave("handshakes", pairs, p => Handshakes(p, seconds));
            var streams = Interleave("stream, mutual TLS", pairs, p => CpuPerMebibyte(p, p.Stream));
            var plain = Interleave("stream, plaintext", pairs, p => CpuPerMebibyte(p, p.Plain));
            Directory.Delete(folder, recursive: true); // With the keys. What failed leaves its logs.
            return Figures(cpu, added, handshakes, streams, plain).ToList();
        }
        finally
        {
            pairs.ForEach(p => p.Dispose());
        }
    }

    private static IEnumerable<Figure> Figures(
        Dictionary<string, List<double>> cpu,
        Dictionary<string, List<(double P50, double P99)>> added,
        Dictionary<string, List<(double PerSecond, double Cpu)>> handshakes,
        Dictionary<string, List<double>> streams,
        Dictionary<string, List<double>> plain)
    {
        Figure Of(string peer, string metric, Func<string, IEnumerable<double>> values)
        {
            var (ours, theirs) = Rounds.Compare([.. values("mesh")], [.. values(peer)]);
            return new(Name, peer, metric, ours, theirs);
        }

        double Added(string name, Func<(double P50, double P99), double> part) => Stats.Median(added[name].Select(part)) - Stats.Median(added["backend"].Select(part));
        foreach (var peer in PairPrograms.Available.Where(n => n != "mesh"))
        {
            yield return Of(peer, "cpu_us_per_request", n => cpu[n]);
            yield return new(Name, peer, "p50_added_us", Added("mesh", l => l.P50), Added(peer, l => l.P50));
            yield return new(Name, peer, "p99_added_us", Added("mesh", l => l.P99), Added(peer, l => l.P99));
            yield return Of(peer, "handshakes_per_second", n => handshakes[n].Select(h => h.PerSecond));
            yield return Of(peer, "cpu_us_per_handshake", n => handshakes[n].Select(h => h.Cpu));
            yield return Of(peer, "tcp_cpu_us_per_mib_mtls", n => streams[n]);
            yield return Of(peer, "tcp_cpu_us_per_mib_plain", n => plain[n]);
        }
    }

    /// <summary>JIT, pools, caches, on every way that is measured.</summary>
    private void WarmUp(Pair pair)
    {
        Rounds.Settle(pair.Name, () => CpuPerRequest(pair, 2), most: 20);
        Rounds.Settle(pair.Name + " handshakes", () => Handshakes(pair, 2).Cpu, most: 6);
        Load.Stream(Cores.Load, sink, pair.Stream, 1);
        Load.Stream(Cores.Load, sink, pair.Plain, 1);
    }

    private static double CpuPerRequest(Pair pair, int window)
    {
        var before = pair.CpuMicroseconds();
        var requests = Load.Wrk(Cores.Load, pair.Http, Connections, window);
        return (pair.CpuMicroseconds() - before) / requests;
    }

    private Dictionary<string, List<(double P50, double P99)>> Latency(Subject backend, List<Pair> pairs)
    {
        var ports = pairs.Select(p => (p.Name, Port: p.Http)).Prepend((backend.Name, backend.Port)).ToList();
        Console.Error.WriteLine("delay");
        return Rounds.Interleave(rounds, ports, p => p.Name, p => Load.Fortio(Cores.Load, p.Port, Rate, RateConnections, seconds) ?? (double.NaN, double.NaN));
    }

    /// <summary>
    /// A connection for each request through the TCP way: the client's proxy makes one to the server's, with a full handshake. The price of both TCP
    /// connections is part of it, for all alike.
    /// </summary>
    private static (double PerSecond, double Cpu) Handshakes(Pair pair, int window)
    {
        var before = pair.CpuMicroseconds();
        var watch = Stopwatch.StartNew();
        var count = Load.Wrk(Cores.Load, pair.Connect, Connections, window, reuse: false);
        return (count / watch.Elapsed.TotalSeconds, (pair.CpuMicroseconds() - before) / count);
    }

    private double CpuPerMebibyte(Pair pair, int port)
    {
        var before = pair.CpuMicroseconds();
        var bytes = Load.Stream(Cores.Load, sink, port, Math.Max(1, seconds / 2));
        return (pair.CpuMicroseconds() - before) / (bytes / 1048576.0);
    }

    private Dictionary<string, List<T>> Interleave<T>(string what, List<Pair> pairs, Func<Pair, T> measure)
    {
        Console.Error.WriteLine(what);
        return Rounds.Interleave(rounds, pairs, p => p.Name, measure);
    }
}
