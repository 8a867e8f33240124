namespace Mesh.Benchmarks;

/// <summary>
/// Bench <c>capture</c>: the same call through two sidecars with mutual TLS, once captured by rules at both ends, once explicit without any: CPU of both
/// sidecars per request and per connection, and delay. On machines made of network namespaces; where that cannot be, it says so and measures nothing.
/// </summary>
internal sealed class CaptureCost(int rounds, int seconds)
{
    public const string Name = "capture";
    private const int Connections = 32;
    private const int Rate = 1000;
    private const int RateConnections = 16;

    public IEnumerable<Figure> Run()
    {
        if (CaptureMachines.Missing() is { } missing)
        {
            Console.Error.WriteLine($"bench {Name} is skipped: {missing}");
            return [];
        }

        var folder = Directory.CreateTempSubdirectory("mesh-bench-").FullName;
        var certificates = new PairCertificates(Path.Combine(folder, "certificates"));
        Open(folder);
        using var captured = CaptureMachines.Start(isCaptured: true, folder, certificates);
        using var stated = CaptureMachines.Start(isCaptured: false, folder, certificates);
        CaptureMachines[] both = [captured, stated];
        foreach (var machines in both)
        {
            Rounds.Settle("mesh " + machines.Name, () => Cost(machines, 2, reuse: true), most: 15);
            Rounds.Settle("mesh connections " + machines.Name, () => Cost(machines, 1, reuse: false), most: 5);
        }

        var request = Rounds.Interleave(rounds, both, m => m.Name, m => Cost(m, seconds, reuse: true));
        var connection = Rounds.Interleave(rounds, both, m => m.Name, m => Cost(m, seconds, reuse: false));
        var delay = Rounds.Interleave(rounds, both, m => m.Name, m => Load.Fortio(m.OnClient, Cores.Load, m.Authority, Rate, RateConnections, seconds) ?? (double.NaN, double.NaN));
        Directory.Delete(folder, recursive: true); // With the keys. What failed leaves its logs.
        return
        [
            Of("cpu_us_per_request", request),
            Of("cpu_us_per_connection", connection),
            Of("p50_us", delay.ToDictionary(d => d.Key, d => d.Value.Select(v => v.P50).ToList())),
            Of("p99_us", delay.ToDictionary(d => d.Key, d => d.Value.Select(v => v.P99).ToList())),
        ];
    }

    private static Figure Of(string metric, Dictionary<string, List<double>> values)
    {
        var (captured, stated) = Rounds.Compare(values["captured"], values["explicit"]);
        return new(Name, "explicit", metric, captured, stated);
    }

    /// <summary>The sidecars run as another user, who has to read his files there.</summary>
    private static void Open(string folder)
    {
        const UnixFileMode Readable = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;
        File.SetUnixFileMode(folder, Readable);
        foreach (var file in Directory.EnumerateFiles(Path.Combine(folder, "certificates"))) File.SetUnixFileMode(file, Readable & ~(UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute));
    }

    private static double Cost(CaptureMachines machines, int window, bool reuse)
    {
        var before = machines.CpuMicroseconds();
        var count = Load.Wrk(machines.OnClient, Cores.Load, machines.Authority, Connections, window, reuse);
        return (machines.CpuMicroseconds() - before) / count;
    }
}
