using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using Mesh.Api.Logging;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar;

/// <summary>
/// Reads the command line: <c>--name value</c> or <c>--name=value</c>. All errors are found, each says what would be right. Pure.
/// A table of our own instead of a library: the sidecar must answer in a fifth of a second, and reflection has no share in that.
/// </summary>
internal sealed class FlagParser
{
    private static readonly string[] Protocols = ["", "http", "http2", "grpc", "tcp", "unknown"];
    private readonly List<string> errors = [];
    private Flags flags = new();

    /// <summary>Every flag, in the order of the help.</summary>
    private static readonly ImmutableArray<FlagRow> Rows =
    [
        new("control-plane", "ADDR", "control plane: HOST:PORT over mutual TLS; http://HOST:PORT or unix:/path in plaintext: configuration only", (p, v) => p.flags = p.flags with { ControlPlane = v }),
        new("static", "FILE", "xDS resources from a file (YAML or JSON), instead of a control plane; read again when it changes", (p, v) => p.flags = p.flags with { Static = v }),
        new("token-file", "FILE", "join token for the first certificate; or in the variable MESH_JOIN_TOKEN", (p, v) => p.flags = p.flags with { TokenFile = v }),
        new("ca", "FILE", "roots (PEM) by which the control plane is known, instead of the one the join token names", (p, v) => p.flags = p.flags with { CaFile = v }),
        new("identity-dir", "DIR", "keep key, certificate and roots here (0700), so that a restart needs no new token", (p, v) => p.flags = p.flags with { IdentityDir = v }),
        new("state-dir", "DIR", "keep the last good configuration here (0700), and key and certificate in DIR/identity unless --identity-dir says where: a restart serves at once, also with no control plane", (p, v) => p.flags = p.flags with { StateDir = v }),
        new("kube-token-file", "FILE", "Kubernetes service-account token for the certificate, read anew each time", (p, v) => p.flags = p.flags with { KubeTokenFile = v }),
        new("trust-domain", "NAME", "trust domain where no join token says it, default cluster.local", (p, v) => p.flags = p.flags with { TrustDomain = p.Name("--trust-domain", v) }),
        new("sds", "PATH", "serve certificate and roots to programs of this user on this unix socket (Envoy's SDS)", (p, v) => p.flags = p.flags with { Sds = v }),
        new("max-connection-age", "SECONDS", "end TCP connections after this long, so that none outlives its certificates by more; default never", (p, v) => p.flags = p.flags with { MaxConnectionAge = TimeSpan.FromSeconds(p.Number("--max-connection-age", v, 1, 31_536_000)) }),
        new("service", "NAME", "service this workload belongs to", (p, v) => p.flags = p.flags with { Service = p.Name("--service", v) }),
        new("namespace", "NAME", "namespace, default \"default\"", (p, v) => p.flags = p.flags with { Namespace = p.Name("--namespace", v) }),
        new("version-label", "VERSION", "version of the workload, for routes and metrics (also --service-version)", (p, v) => p.flags = p.flags with { Version = v }),
        new("workload", "ID", "unique ID of the workload; default: made up", (p, v) => p.flags = p.flags with { Workload = p.Name("--workload", v) }),
        new("port", "PORT[:PROTOCOL[:NAME]]", "a port of the application; protocol http, http2, grpc, tcp, or left out: detected. Repeatable", (p, v) => p.flags = p.flags with { Ports = p.flags.Ports.Add(p.Port(v)) }),
        new("inbound", "ADDR:PORT", "where the traffic of each --port is taken, in the same order; default 127.0.0.1:0. Repeatable", (p, v) => p.flags = p.flags with { Inbound = p.flags.Inbound.Add(p.EndPoint("--inbound", v)) }),
        new("address", "IP", "address other workloads reach this one by, default 127.0.0.1, with --capture the machine's own", (p, v) => p.flags = p.flags with { Address = p.Ip(v) }),
        new("outbound", "ADDR:PORT|off", "listener for the application's calls, default 127.0.0.1:15001", (p, v) => p.flags = p.flags with { Outbound = p.Optional("--outbound", v) }),
        new("capture", "redirect|tproxy|off", "take traffic that rules of the kernel bring here (mesh-sidecar capture install); default off", (p, v) => p.flags = p.flags with { Capture = p.Choice("--capture", v, "off", "redirect", "tproxy") switch { 1 => CaptureMode.Redirect, 2 => CaptureMode.Tproxy, _ => null } }),
        new("inbound-capture", "PORT", "with --capture: where inbound traffic is taken, on every address, default 15006", (p, v) => p.flags = p.flags with { InboundCapture = (int)p.Number("--inbound-capture", v, 0, 65535) }),
        new("captured-ports", "all|declared", "with --capture: whether the rules bring calls to all ports of --address here, or to each --port alone, on a machine shared with others; default all", (p, v) => p.flags = p.flags with { DeclaredOnly = p.Choice("--captured-ports", v, "all", "declared") == 1 }),
        new("dns", "ADDR:PORT|off", "answer the names of the mesh here, with --capture, on loopback of both families; default 127.0.0.1:15053", (p, v) => p.flags = p.flags with { Dns = p.Optional("--dns", v) is { } address ? [address] : [] }),
        new("upstream", "SERVICE[:PORT]=ADDR:PORT[:PROTOCOL]", "a listener for one service. Repeatable", (p, v) => p.flags = p.flags with { Upstreams = p.flags.Upstreams.Add(p.Upstream(v)) }),
        new("admin", "ADDR:PORT|off", "admin surface, default 127.0.0.1:15000", (p, v) => p.flags = p.flags with { Admin = p.Optional("--admin", v) }),
        new("metrics", "ADDR:PORT|off", "Prometheus metrics, default 127.0.0.1:15020", (p, v) => p.flags = p.flags with { Metrics = p.Optional("--metrics", v) }),
        new("readiness", "ADDR:PORT|off", "readiness probe, default 127.0.0.1:15021", (p, v) => p.flags = p.flags with { Readiness = p.Optional("--readiness", v) }),
        new("ports-file", "FILE", "write the bound addresses to this file, as JSON", (p, v) => p.flags = p.flags with { PortsFile = v }),
        new("label", "KEY=VALUE", "a label of the workload. Repeatable", (p, v) => p.flags = p.flags with { Labels = p.Label(v) }),
        new("zone", "NAME", "zone of the workload", (p, v) => p.flags = p.flags with { Zone = v }),
        new("access-log", "off|errors|all", "what is logged of requests, to stdout; default errors", (p, v) => p.flags = p.flags with { AccessLog = (AccessLogMode)p.Choice("--access-log", v, "off", "errors", "all") }),
        new("access-log-format", "text|json", "default text", (p, v) => p.flags = p.flags with { AccessLogFormat = (AccessLogFormat)p.Choice("--access-log-format", v, "text", "json") }),
        new("otlp", "URL", "send metrics and spans to this OpenTelemetry collector", (p, v) => p.flags = p.flags with { Otlp = v }),
        new("drain-time", "SECONDS", "longest a graceful stop may take, default 30", (p, v) => p.flags = p.flags with { DrainTime = TimeSpan.FromSeconds(p.Number("--drain-time", v, 0, 86_400)) }),
        new("discover", "all|declared", "know every service, or only those of --upstream; default all", (p, v) => p.flags = p.flags with { DiscoverAll = p.Choice("--discover", v, "declared", "all") == 1 }),
        new("log-level", "debug|info|warn|error", "default info", (p, v) => p.flags = p.flags with { LogLevel = p.LogLevel(v) }),
        new("health-path", "PATH", "check the application with GET PATH instead of a connection", (p, v) => p.flags = p.flags with { HealthPath = p.Path(v) }),
        new("workers", "N", "threads that wait for sockets, default one a processor", (p, v) => p.flags = p.flags with { Workers = (int)p.Number("--workers", v, 1, 1024) }),
    ];

    /// <summary>The text of --help.</summary>
    public static string Help { get; } = "mesh-sidecar: takes the traffic of one workload in both directions.\n\n"
        + "  mesh-sidecar --control-plane mesh.example:15012 --token-file token --service web --port 8080\n  mesh-sidecar --static proxy.yaml\n\n"
        + string.Concat(Rows.Select(r => $"  --{r.Name} {r.Value}\n      {r.Help}\n")) + "  --version\n  --help\n";

    /// <summary>Reads arguments; the flags mean something only when there are no errors.</summary>
    public static (Flags Flags, IReadOnlyList<string> Errors) Parse(IReadOnlyList<string> args)
    {
        var parser = new FlagParser();
        for (var i = 0; i < args.Count; i++) parser.Argument(args, ref i);
        parser.Together();
        return (parser.flags, parser.errors);
    }

    private void Argument(IReadOnlyList<string> args, ref int i)
    {
        var arg = args[i];
        var equals = arg.IndexOf('=');
        var name = equals < 0 ? arg : arg[..equals];
        if (name == "--service-version") name = "--version-label";
        var row = Rows.FirstOrDefault(r => name.AsSpan().StartsWith("--") && name.AsSpan(2).SequenceEqual(r.Name));
        if (row is null) errors.Add($"{arg}: there is no such flag");
        else if (equals >= 0) row.Apply(this, arg[(equals + 1)..]);
        else if (i + 1 < args.Count) row.Apply(this, args[++i]);
        else errors.Add($"{name}: a value is missing: {row.Value}");
    }

    /// <summary>What flags mean only together.</summary>
    private void Together()
    {
        if (flags.ControlPlane is null == flags.Static is null) errors.Add("one of --control-plane and --static is needed, and only one");
        flags = flags with { IsSecured = IsSecured() };
        if (!flags.IsSecured)
        {
            foreach (var (flag, value) in new[] { ("--token-file", flags.TokenFile), ("--ca", flags.CaFile), ("--identity-dir", flags.IdentityDir), ("--state-dir", flags.StateDir), ("--kube-token-file", flags.KubeTokenFile), ("--sds", flags.Sds) })
            {
                if (value is not null) errors.Add($"{flag} is about the identity that a control plane over TLS gives: --control-plane HOST:PORT");
            }
        }

        if (flags is { StateDir: { } state, IdentityDir: null }) flags = flags with { IdentityDir = System.IO.Path.Combine(state, "identity") };
        if (flags.Inbound.Length > flags.Ports.Length) errors.Add($"--inbound is given {flags.Inbound.Length} times and --port {flags.Ports.Length} times: each --inbound belongs to a --port");
        if (flags.Ports.Length > 0 && flags.Service.Length == 0) errors.Add("--port needs --service: the service that other workloads call");
        if (flags.Capture is not null) Captured();
        else if (flags.Dns is { IsEmpty: false }) errors.Add("--dns needs --capture: without rules nobody asks here, and virtual addresses lead nowhere");
        var (once, twice) = (new HashSet<int>(), new HashSet<int>());
        foreach (var port in flags.Ports)
        {
            if (!once.Add(port.Port) && twice.Add(port.Port)) errors.Add($"--port {port.Port} is given twice");
        }
    }

    /// <summary>What captured traffic leaves no choice of.</summary>
    private void Captured()
    {
        if (flags.Static is not null) errors.Add("--capture needs --control-plane: the resources of --static say themselves where they listen");
        if (flags.Inbound.Length > 0) errors.Add("--inbound has no meaning with --capture: peers dial the application's own ports, --inbound-capture takes their traffic");
        if (flags.Outbound is not { } outbound) errors.Add("--outbound off leaves captured traffic nowhere to go: give a port");
        else if (!IPAddress.IsLoopback(outbound.Address)) errors.Add($"--outbound: with --capture it is on loopback of both families; give the port alone, {outbound.Port}");
    }

    /// <summary>TLS unless the address says plaintext by its scheme.</summary>
    private bool IsSecured()
    {
        if (flags.ControlPlane is not { } address || address.StartsWith("unix:", StringComparison.Ordinal)) return false;
        return !address.Contains("://", StringComparison.Ordinal) || address.StartsWith("https://", StringComparison.Ordinal);
    }

    private PortFlag Port(string text)
    {
        var parts = text.Split(':', 3);
        var protocol = parts.Length > 1 ? parts[1] : "";
        Protocol("--port", protocol);
        var port = (int)Number("--port", parts[0], 1, 65535);
        return new PortFlag(port, protocol == "unknown" ? "" : protocol, parts.Length > 2 ? parts[2] : protocol is "" or "unknown" ? $"port-{port}" : protocol);
    }

    private UpstreamFlag Upstream(string text)
    {
        var equals = text.IndexOf('=');
        if (equals <= 0)
        {
            errors.Add($"--upstream: \"{text}\" is not SERVICE[:PORT]=ADDR:PORT[:PROTOCOL]");
            return new UpstreamFlag("", null, new IPEndPoint(0, 0), "");
        }

        var (service, listen, protocol) = (text[..equals], text[(equals + 1)..], "");
        int? port = null;
        var colon = service.IndexOf(':');
        if (colon >= 0) (service, port) = (service[..colon], (int)Number("--upstream", service[(colon + 1)..], 1, 65535));
        var last = listen.LastIndexOf(':');
        if (last >= 0 && last + 1 < listen.Length && char.IsAsciiLetter(listen[last + 1]) && !listen.EndsWith(']')) (listen, protocol) = (listen[..last], listen[(last + 1)..]);
        Protocol("--upstream", protocol);
        return new UpstreamFlag(service, port, EndPoint("--upstream", listen), protocol);
    }

    private void Protocol(string flag, string protocol)
    {
        if (!Protocols.Contains(protocol)) errors.Add($"{flag}: \"{protocol}\" is not a protocol: http, http2, grpc, tcp or unknown");
    }

    private ImmutableSortedDictionary<string, string> Label(string text)
    {
        var equals = text.IndexOf('=');
        if (equals > 0) return flags.Labels.SetItem(text[..equals], text[(equals + 1)..]);
        errors.Add($"--label: \"{text}\" is not KEY=VALUE");
        return flags.Labels;
    }

    private IPEndPoint? Optional(string flag, string text) => text == "off" ? null : EndPoint(flag, text);

    private IPEndPoint EndPoint(string flag, string text)
    {
        var whole = ushort.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out _) ? $"127.0.0.1:{text}" : text;
        if (whole.Contains(':', StringComparison.Ordinal) && IPEndPoint.TryParse(whole, out var parsed) && whole.EndsWith($":{parsed.Port}", StringComparison.Ordinal)) return parsed;
        errors.Add($"{flag}: \"{text}\" is not an IP address and port, such as 127.0.0.1:8080 or [::1]:8080");
        return new IPEndPoint(0, 0);
    }

    private string Ip(string text)
    {
        if (!IPAddress.TryParse(text, out _)) errors.Add($"--address: \"{text}\" is not an IP address");
        return text;
    }

    private string Name(string flag, string text)
    {
        if (text.Length is > 0 and <= 253 && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.' or '_')) return text;
        errors.Add($"{flag}: \"{text}\" is not a name: letters, digits, hyphens, dots and underscores");
        return text;
    }

    private string Path(string text)
    {
        if (!text.StartsWith('/') || text.Any(c => c is <= ' ' or > '~')) errors.Add($"--health-path: \"{text}\" is not a path such as /healthz");
        return text;
    }

    private double Number(string flag, string text, double least, double most)
    {
        if (double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most) return number;
        errors.Add(string.Create(CultureInfo.InvariantCulture, $"{flag}: \"{text}\" is not a number from {least} to {most}"));
        return least;
    }

    /// <summary>Index of the choice. Names instead of the enum's values: what an enum calls its values is reflection.</summary>
    private int Choice(string flag, string text, params ReadOnlySpan<string> choices)
    {
        for (var i = 0; i < choices.Length; i++)
        {
            if (string.Equals(choices[i], text, StringComparison.OrdinalIgnoreCase)) return i;
        }

        errors.Add($"{flag}: \"{text}\" is not one of {string.Join(", ", choices)}");
        return 0;
    }

    private Level LogLevel(string text)
    {
        if (!Log.TryParse(text, out var level)) errors.Add($"--log-level: \"{text}\" is not one of debug, info, warn, error");
        return level;
    }

    private sealed record FlagRow(string Name, string Value, string Help, Action<FlagParser, string> Apply);
}
