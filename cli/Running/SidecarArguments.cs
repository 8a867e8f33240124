namespace Mesh.Cli.Running;

/// <summary>The sidecar's command line for a run. Stateless.</summary>
internal static class SidecarArguments
{
    private const string AnyPort = "127.0.0.1:0";

    /// <summary>On free ports, or on those it had before, so that what the child was told stays true.</summary>
    public static IEnumerable<string> Of(RunOptions options, BoundPorts before, string portsFile)
    {
        List<string> arguments =
        [
            "--service", options.Service,
            "--ports-file", portsFile,
            "--drain-time", ((int)options.DrainTime.TotalSeconds).ToString(System.Globalization.CultureInfo.InvariantCulture),
        ];
        // Where the network is the run's alone everything has its usual place, which the rules know.
        if (options.Capture is null or { IsShared: true })
            arguments.AddRange(["--admin", OrAny(before.Admin), "--metrics", OrAny(before.Metrics), "--readiness", OrAny(before.Readiness)]);
        if (options.Capture is { IsShared: true }) arguments.AddRange(["--captured-ports", "declared"]);
        arguments.AddRange(options.Capture is { } capture ? ["--capture", capture.Mode] : ["--outbound", OrAny(before.Outbound)]);
        foreach (var port in options.Ports)
            arguments.AddRange(options.Capture is null ? ["--port", port, "--inbound", before.Inbound.GetValueOrDefault(port.Split(':')[0]) ?? AnyPort] : ["--port", port]);
        foreach (var upstream in options.Upstreams)
            arguments.AddRange(["--upstream", Upstream(upstream, before)]);
        arguments.AddRange(options.Joining.AllFlags);
        arguments.AddRange(options.SidecarFlags);
        return arguments;
    }

    /// <summary>An upstream on a free port keeps the one it got.</summary>
    private static string Upstream(string upstream, BoundPorts before)
    {
        var service = upstream.Split('=')[0];
        return before.Upstreams.TryGetValue(service, out var bound) && upstream.Contains(":0", StringComparison.Ordinal)
            ? upstream.Replace(AnyPort, bound, StringComparison.Ordinal)
            : upstream;
    }

    private static string OrAny(string address) => address.Length > 0 ? address : AnyPort;
}
