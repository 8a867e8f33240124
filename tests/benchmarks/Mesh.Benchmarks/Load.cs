using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Mesh.Benchmarks;

/// <summary>The load tools: wrk for throughput (cost per request), fortio for latency at a constant rate, our own for one TCP stream.</summary>
internal static partial class Load
{
    /// <summary>
    /// Runs wrk and returns the number of completed requests; throws when any answer was not 2xx, or a connection broke. Without reuse every request has
    /// a connection of its own.
    /// </summary>
    public static long Wrk(string cores, int port, int connections, int seconds, bool reuse = true) =>
        Wrk([], cores, $"127.0.0.1:{port}", connections, seconds, reuse);

    /// <summary>The same to any address, run by another command (<c>ip netns exec NAME</c>).</summary>
    public static long Wrk(string[] inside, string cores, string authority, int connections, int seconds, bool reuse = true)
    {
        string[] close = reuse ? [] : ["-H", "Connection: close"];
        var output = Run([.. inside, "taskset", "-c", cores, "wrk", "-t1", $"-c{connections}", $"-d{seconds}s", .. close, $"http://{authority}/"]);
        if (output.Contains("Non-2xx", StringComparison.Ordinal)) throw new InvalidOperationException("answers other than 2xx:\n" + output);
        if (output.Contains("Socket errors", StringComparison.Ordinal)) throw new InvalidOperationException("connections broke:\n" + output);
        return long.Parse(Requests().Match(output).Groups["n"].ValueSpan, CultureInfo.InvariantCulture);
    }

    /// <summary>Runs fortio at a constant rate; p50 and p99 in microseconds.</summary>
    public static (double P50, double P99)? Fortio(string cores, int port, int rate, int connections, int seconds) =>
        Fortio([], cores, $"127.0.0.1:{port}", rate, connections, seconds);

    /// <summary>The same to any address, run by another command.</summary>
    public static (double P50, double P99)? Fortio(string[] inside, string cores, string authority, int rate, int connections, int seconds)
    {
        var fortio = Environment.GetEnvironmentVariable("MESH_BENCH_FORTIO");
        if (string.IsNullOrEmpty(fortio)) return null;
        var json = Run([
            .. inside, "taskset", "-c", cores, fortio, "load", "-quiet", "-qps", $"{rate}", "-c", $"{connections}", "-uniform", "-nocatchup=false",
            "-t", $"{seconds}s", "-r", "0.00001", "-p", "50,99", "-json", "-", $"http://{authority}/"]);
        using var document = JsonDocument.Parse(json[json.IndexOf('{', StringComparison.Ordinal)..]);
        var codes = document.RootElement.GetProperty("RetCodes").EnumerateObject().ToList();
        if (codes.Any(c => c.Name != "200")) throw new InvalidOperationException("answers other than 200: " + string.Join(' ', codes));
        var percentiles = document.RootElement.GetProperty("DurationHistogram").GetProperty("Percentiles").EnumerateArray()
            .Select(p => p.GetProperty("Value").GetDouble() * 1e6).ToArray();
        return (percentiles[0], percentiles[1]);
    }

    /// <summary>Runs one TCP stream (<see cref="StreamLoad"/>) through a proxy to the sink; the bytes that came through.</summary>
    public static long Stream(string cores, int sink, int port, int seconds) => long.Parse(
        Run(["taskset", "-c", cores, Environment.ProcessPath!, typeof(Load).Assembly.Location, "--stream", $"{sink}", $"{port}", $"{seconds}"]), CultureInfo.InvariantCulture);

    private static string Run(string[] command)
    {
        using var process = Process.Start(new ProcessStartInfo(command[0], command[1..]) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true })!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0) throw new InvalidOperationException($"{string.Join(' ', command)} failed: {output} {errors.GetAwaiter().GetResult()}");
        return output;
    }

    [GeneratedRegex(@"(?<n>\d+) requests in", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Requests();
}
