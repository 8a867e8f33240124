using System.Diagnostics;

namespace Mesh.Benchmarks;

/// <summary>
/// Bench <c>hop-http1</c>: one proxy as a plain HTTP/1.1 hop on one core, load and backend on the others.
/// All proxies stay up; windows of load go round them in turn, forwards and backwards, so that a slow minute of the host hits all alike.
/// </summary>
internal sealed class HopHttp1(int rounds, int seconds)
{
    public const string Name = "hop-http1";
    private const int Connections = 32;
    private readonly string folder = Directory.CreateTempSubdirectory("mesh-bench-").FullName;

    public IEnumerable<Figure> Run()
    {
        using var backend = Hops.StartBackend(Cores.Backend, folder);
        backend.WaitForFirstResponse(Stopwatch.StartNew());
        var starts = Hops.Available.ToDictionary(n => n, n => Stats.Median(Enumerable.Range(0, 7).Select(_ => StartOnce(n, backend.Port))));
        var subjects = Hops.Available.Select(n => Hops.Start(n, backend.Port, Cores.Proxy, folder)).ToList();
        try
        {
            foreach (var s in subjects) s.WaitForFirstResponse(Stopwatch.StartNew());
            var idle = subjects.ToDictionary(s => s.Name, s => s.Memory());
            foreach (var s in subjects) Rounds.Settle(s.Name, () => CpuPerRequest(s, 2)); // JIT, pools, caches.
            var cpu = Interleave(subjects, s => CpuPerRequest(s, seconds));
            var loaded = subjects.ToDictionary(s => s.Name, s => s.Memory());
            var added = Interleave(subjects.Prepend(backend).ToList(), s => Load.Fortio(Cores.Load, s.Port, 1000, 16, seconds) ?? (double.NaN, double.NaN));
            return Figures(starts, idle, cpu, loaded, added).ToList();
        }
        finally
        {
            subjects.ForEach(s => s.Dispose());
        }
    }

    private IEnumerable<Figure> Figures(
        Dictionary<string, double> starts,
        Dictionary<string, (double Rss, double Private)> idle,
        Dictionary<string, List<double>> cpu,
        Dictionary<string, (double Rss, double Private)> loaded,
        Dictionary<string, List<(double P50, double P99)>> latency)
    {
        double P50(string n) => Stats.Median(latency[n].Select(l => l.P50)) - Stats.Median(latency["backend"].Select(l => l.P50));
        double P99(string n) => Stats.Median(latency[n].Select(l => l.P99)) - Stats.Median(latency["backend"].Select(l => l.P99));
        foreach (var peer in Hops.Available.Where(n => n != "mesh"))
        {
            var (ours, theirs) = Rounds.Compare(cpu["mesh"], cpu[peer]);
            yield return new(Name, peer, "cpu_us_per_request", ours, theirs);
            yield return new(Name, peer, "p50_added_us", P50("mesh"), P50(peer));
            yield return new(Name, peer, "p99_added_us", P99("mesh"), P99(peer));
            yield return new(Name, peer, "rss_idle_mb", idle["mesh"].Rss, idle[peer].Rss);
            yield return new(Name, peer, "rss_loaded_mb", loaded["mesh"].Rss, loaded[peer].Rss);
            yield return new(Name, peer, "private_mb", loaded["mesh"].Private, loaded[peer].Private);
            yield return new(Name, peer, "first_response_ms", starts["mesh"], starts[peer]);
        }
    }

    private double StartOnce(string name, int backend)
    {
        var watch = Stopwatch.StartNew();
        using var subject = Hops.Start(name, backend, Cores.Proxy, folder);
        return subject.WaitForFirstResponse(watch);
    }

    private static double CpuPerRequest(Subject subject, int window)
    {
        var before = subject.CpuMicroseconds();
        var requests = Load.Wrk(Cores.Load, subject.Port, Connections, window);
        return (subject.CpuMicroseconds() - before) / requests;
    }

    private Dictionary<string, List<T>> Interleave<T>(List<Subject> subjects, Func<Subject, T> measure) => Rounds.Interleave(rounds, subjects, s => s.Name, measure);
}
