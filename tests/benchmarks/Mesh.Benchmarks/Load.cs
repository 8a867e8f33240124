using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Mesh.Benchmarks;

/// <summary>The load tools: wrk for throughput (cost per request), fortio for latency at a constant rate.</summary>
internal static partial class Load
{
    /// <summary>Runs wrk and returns the number of completed requests; throws when any answer was not 2xx.</summary>
    public static long Wrk(string cores, int port, int connections, int seconds)
    {
        var output = Run("taskset", "-c", cores, "wrk", "-t1", $"-c{connections}", $"-d{seconds}s", $"http://127.0.0.1:{port}/");
        if (output.Contains("Non-2xx", StringComparison.Ordinal)) throw new InvalidOperationException("answers other than 2xx:\n" + output);
        return long.Parse(Requests().Match(output).Groups["n"].ValueSpan, CultureInfo.InvariantCulture);
    }

    /// <summary>Runs fortio at a constant rate; p50 and p99 in microseconds.</summary>
    public static (double P50, double P99)? Fortio(string cores, int port, int rate, int connections, int seconds)
    {
        var fortio = Environment.GetEnvironmentVariable("MESH_BENCH_FORTIO");
        if (string.IsNullOrEmpty(fortio)) return null;
        var json = Run(
            "taskset", "-c", cores, fortio, "load", "-quiet", "-qps", $"{rate}", "-c", $"{connections}", "-uniform", "-nocatchup=false",
            "-t", $"{seconds}s", "-r", "0.00001", "-p", "50,99", "-json", "-", $"http://127.0.0.1:{port}/");
        using var document = JsonDocument.Parse(json[json.IndexOf('{', StringComparison.Ordinal)..]);
        var codes = document.RootElement.GetProperty("RetCodes").EnumerateObject().ToList();
        if (codes.Any(c => c.Name != "200")) throw new InvalidOperationException("answers other than 200: " + string.Join(' ', codes));
        var percentiles = document.RootElement.GetProperty("DurationHistogram").GetProperty("Percentiles").EnumerateArray()
            .Select(p => p.GetProperty("Value").GetDouble() * 1e6).ToArray();
        return (percentiles[0], percentiles[1]);
    }

    private static string Run(string file, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(file, arguments) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true })!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0) throw new InvalidOperationException($"{file} {string.Join(' ', arguments)} failed: {output} {errors.GetAwaiter().GetResult()}");
        return output;
    }

    [GeneratedRegex(@"(?<n>\d+) requests in", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Requests();
}
