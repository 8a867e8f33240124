using System.Diagnostics;

namespace Mesh.Benchmarks;

/// <summary>
/// Bench <c>rbac</c>: CPU per request of one plaintext hop whose port has 0, 10 and 1,000 authorization rules. One sidecar has a port for each, and one Envoy
/// with the same configuration; the windows go round all ports in turn.
/// </summary>
internal sealed class RbacHop(int rounds, int seconds)
{
    public const string Name = "rbac";
    private const int Connections = 32;
    private readonly string folder = Directory.CreateTempSubdirectory("mesh-bench-").FullName;

    private sealed record Port(string Name, Subject Subject, int Number);

    public IEnumerable<Figure> Run()
    {
        using var backend = Hops.StartBackend(Cores.Backend, folder);
        backend.WaitForFirstResponse(Stopwatch.StartNew());
        var ports = new List<Port>();
        try
        {
            foreach (var name in Hops.Available.Where(n => n is "mesh" or "envoy")) ports.AddRange(Start(name, backend.Port));
            foreach (var port in ports) port.Subject.WaitForFirstResponse(Stopwatch.StartNew(), port: port.Number);
            foreach (var port in ports) Rounds.Settle(port.Name, () => CpuPerRequest(port, 2));
            var cpu = Rounds.Interleave(rounds, ports, p => p.Name, p => CpuPerRequest(p, seconds));
            return Figures(cpu).ToList();
        }
        finally
        {
            foreach (var subject in ports.Select(p => p.Subject).Distinct()) subject.Dispose();
        }
    }

    private static IEnumerable<Figure> Figures(Dictionary<string, List<double>> cpu)
    {
        foreach (var rules in RbacRules.All)
        {
            foreach (var (peer, key) in new[] { ("0_rules", "mesh " + RbacRules.All[0].Name), ("envoy", "envoy " + rules.Name) })
            {
                if (!cpu.TryGetValue(key, out var theirs)) continue;
                var (ours, other) = Rounds.Compare(cpu["mesh " + rules.Name], theirs);
                yield return new(Name, peer, "cpu_us_per_request_" + rules.Name, ours, other);
            }
        }
    }

    private IEnumerable<Port> Start(string name, int backend)
    {
        var legs = RbacRules.All.Select(r => (Rules: r, Leg: new Leg(r.Name, true, Ports.Free(), backend))).ToList();
        var home = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
        var rules = legs.ToDictionary(l => l.Leg.Name, l => l.Rules.Filter());
        var subject = PairPrograms.StartStatic(name, home, Cores.Proxy, PairResources.Write("server", legs.Select(l => l.Leg).ToList(), null, name == "envoy", l => rules[l.Name]));
        return legs.Select(l => new Port($"{name} {l.Rules.Name}", subject, l.Leg.Listen)).ToList();
    }

    private static double CpuPerRequest(Port port, int window)
    {
        var before = port.Subject.CpuMicroseconds();
        var requests = Load.Wrk(Cores.Load, port.Number, Connections, window);
        return (port.Subject.CpuMicroseconds() - before) / requests;
    }
}
