using System.Diagnostics;

namespace Mesh.Benchmarks;

/// <summary>
/// Bench <c>connections</c>: what 1,000 connections cost, idle and busy, through one plain HTTP/1.1 hop and through a pair with mutual TLS between (HTTP, and
/// TCP); how fast new ones are taken, with and without TLS. Private memory is written pages; that of a pair is the sum of both ends.
/// </summary>
internal sealed class Connections(int rounds, int seconds)
{
    public const string Name = "connections";
    private const int Count = 1000;
    private const int Churning = 32;

    // Ours gives memory back when it has not collected for one to two turns of 15 s.
    private static readonly TimeSpan Idle = TimeSpan.FromSeconds(45);
    private readonly string folder = Directory.CreateTempSubdirectory("mesh-bench-").FullName;
    private readonly List<Way> ways = [];

    public IEnumerable<Figure> Run()
    {
        var certificates = new PairCertificates(Path.Combine(folder, "certificates"));
        using var backend = Hops.StartBackend(Cores.Backend, folder);
        backend.WaitForFirstResponse(Stopwatch.StartNew());
        var subjects = Hops.Available.Select(n => Hops.Start(n, backend.Port, Cores.Proxy, Path.Combine(folder, "hop"))).ToList();
        var pairs = new List<Pair>();
        try
        {
            foreach (var s in subjects) s.WaitForFirstResponse(Stopwatch.StartNew());
            // A process of its own for each way through a pair, so that each has its own memory.
            foreach (var way in new[] { "http", "tcp" })
                foreach (var name in PairPrograms.Available) pairs.Add(Pair.Start(name, backend.Port, Ports.Free(), Cores.Proxy, Path.Combine(folder, way), certificates));
            ways.AddRange(subjects.Select(s => new Way("", s.Name, s.Port, () => s.Memory().Private, s.CpuMicroseconds)));
            ways.AddRange(pairs.Take(pairs.Count / 2).Select(p => new Way("_mtls_pair", p.Name, p.Http, p.PrivateMemory, p.CpuMicroseconds)));
            ways.AddRange(pairs.Skip(pairs.Count / 2).Select(p => new Way("_tcp_mtls_pair", p.Name, p.Connect, p.PrivateMemory, p.CpuMicroseconds)));
            var figures = Measure();
            Directory.Delete(folder, recursive: true); // With the keys. What failed leaves its logs.
            return figures;
        }
        finally
        {
            subjects.ForEach(s => s.Dispose());
            pairs.ForEach(p => p.Dispose());
        }
    }

    private List<Figure> Measure()
    {
        var before = ways.ToDictionary(w => w, w => new List<double> { w.Private() });
        var idle = IdleMemory();
        foreach (var way in ways) Rounds.Settle(way.Key, () => Churn(way, 1).Cpu, most: 5);
        var accepted = Rounds.Interleave(rounds, ways, w => w.Key, Accepted);
        var churn = Rounds.Interleave(rounds, ways, w => w.Key, w => Churn(w, seconds));
        var busy = Rounds.Interleave(rounds, ways, w => w.Key, w => Busy(w, seconds));
        var figures = new List<Figure>();
        foreach (var kind in ways.Select(w => w.Kind).Distinct())
        {
            var ours = ways.First(w => w.Kind == kind && w.Name == "mesh");
            foreach (var peer in ways.Where(w => w.Kind == kind && w.Name != "mesh"))
            {
                Figure Of(string metric, Func<Way, IEnumerable<double>> values)
                {
                    var (own, theirs) = Rounds.Compare([.. values(ours)], [.. values(peer)]);
                    return new(Name, peer.Name, metric + kind, own, theirs);
                }

                figures.Add(Of("private_mb_0", w => before[w]));
                figures.Add(Of("private_mb_1000_idle", w => idle[w.Key]));
                figures.Add(Of("private_mb_1000_busy", w => busy[w.Key]));
                figures.Add(Of("accepted_per_second", w => accepted[w.Key]));
                figures.Add(Of("connections_per_second", w => churn[w.Key].Select(c => c.PerSecond)));
                figures.Add(Of("cpu_us_per_connection", w => churn[w.Key].Select(c => c.Cpu)));
            }
        }

        return figures;
    }

    /// <summary>All have 1,000 connections that were used once, at the same time; what they hold when nobody has said anything for a while.</summary>
    private Dictionary<string, List<double>> IdleMemory()
    {
        var open = ways.Select(w => OpenConnections.Open(w.Port, Count)).ToList();
        Thread.Sleep(Idle);
        var memory = ways.ToDictionary(w => w.Key, w => new List<double> { w.Private() });
        foreach (var way in ways) Console.Error.WriteLine($"{Count} idle, {way.Key}: {memory[way.Key][0]:F1} MB");
        open.ForEach(o => o.Dispose());
        return memory;
    }

    /// <summary>The highest of what was seen while 1,000 connections ask again and again.</summary>
    private static double Busy(Way way, int window)
    {
        var highest = 0.0;
        var load = Task.Run(() => Load.Wrk(Cores.Load, way.Port, Count, window + 1));
        while (!load.IsCompleted)
        {
            Thread.Sleep(250);
            highest = Math.Max(highest, way.Private());
        }

        load.GetAwaiter().GetResult();
        return highest;
    }

    /// <summary>New connections that stay, a second: each has its first answer.</summary>
    private static double Accepted(Way way)
    {
        using var open = OpenConnections.Open(way.Port, Count);
        return Count / open.Seconds;
    }

    /// <summary>A connection for each request. Of a pair of TCP, each makes a full handshake between the two.</summary>
    private static (double PerSecond, double Cpu) Churn(Way way, int window)
    {
        var before = way.Cpu();
        var watch = Stopwatch.StartNew();
        var count = Load.Wrk(Cores.Load, way.Port, Churning, window, reuse: false);
        return (count / watch.Elapsed.TotalSeconds, (way.Cpu() - before) / count);
    }

    /// <summary>One way through a program, or two in a row.</summary>
    private sealed record Way(string Kind, string Name, int Port, Func<double> Private, Func<double> Cpu)
    {
        public string Key => Name + Kind;
    }
}
