using System.CommandLine;
using Mesh.Cli.Running;

namespace Mesh.Cli.Commands;

/// <summary><c>meshctl run</c>: puts any program into the mesh.</summary>
internal static class RunCommand
{
    public static Command Make()
    {
        var options = new RunFlags();
        var command = new Command("run",
            "Runs a program in the mesh: starts a sidecar beside it, registers it, and points HTTP_PROXY at the sidecar or, with --capture, takes all its traffic.");
        options.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            if (options.ReadCapture(parsed) is { Place: CapturePlace.OwnNamespace })
            {
                Programs.FindCommand(parsed.GetRequiredValue(options.Command)[0]); // A mistyped command is told before anything is made.
                return await new NamespaceRun(Environment.GetCommandLineArgs()[1..], options.ControlPlane(parsed)).ToEndAsync(addresses => options.ReadJoining(parsed, addresses), cancellation);
            }

            using var joining = options.ReadJoining(parsed);
            return await new Run(options.Read(parsed, joining), TimeProvider.System).ToEndAsync(cancellation);
        });
        return command;
    }

    /// <summary>The flags of the command and how they become <see cref="RunOptions"/>.</summary>
    private sealed class RunFlags
    {
        private readonly Option<string> _service = new("--service") { Description = "the service the program is an instance of", Required = true, HelpName = "NAME" };
        private readonly Option<string[]> _ports = new("--port") { Description = "a port the program listens on; repeatable", HelpName = "PORT[:PROTOCOL[:NAME]]" };
        private readonly Option<string?> _version = new("--version") { Description = "the version it is, for splits and metrics" };
        private readonly Option<string?> _namespace = new("--namespace", "-n") { Description = "its namespace (default)" };
        private readonly Option<string?> _workload = new("--workload") { Description = "its workload id (made up)", HelpName = "ID" };
        private readonly Option<string?> _zone = new("--zone") { Description = "its zone" };
        private readonly Option<string[]> _labels = new("--label") { Description = "a label; repeatable", HelpName = "KEY=VALUE" };
        private readonly Option<string[]> _upstreams = new("--upstream") { Description = "a local address that leads to a service; repeatable", HelpName = "SERVICE=ADDRESS:PORT[:PROTOCOL]" };
        private readonly Option<string?> _capture = new("--capture")
        {
            Description = "take all its traffic by rules of the kernel (needs root): in a network namespace made for it (netns, the default), in the one that is there (here), or on this host what a user sends, as whom it then runs (uid:UID), or what it and its children send (cgroup)",
            HelpName = CaptureTerms.Values,
            Arity = ArgumentArity.ZeroOrOne,
        };

        private readonly Option<string> _captureMode = new("--capture-mode") { Description = "inbound by redirect, or by tproxy: then it sees its clients' addresses", HelpName = "redirect|tproxy", DefaultValueFactory = _ => "redirect" };
        private readonly Option<string[]> _captureFlags = new("--capture-flag") { Description = "an option for mesh-sidecar capture install as it is; repeatable", HelpName = "FLAG[=VALUE]" };
        private readonly JoinOptions _join = new();
        private readonly Option<string?> _healthPath = new("--health-path") { Description = "path of the program's health page; without: its first port must accept connections", HelpName = "PATH" };
        private readonly Option<string?> _sidecar = new("--sidecar") { Description = "the sidecar program (MESH_SIDECAR)", HelpName = "PATH" };
        private readonly Option<string?> _sidecarLog = new("--sidecar-log") { Description = "file for the sidecar's log (stderr)", HelpName = "FILE" };
        private readonly Option<string[]> _sidecarFlags = new("--sidecar-flag") { Description = "a flag for the sidecar as it is; repeatable", HelpName = "FLAG[=VALUE]" };
        private readonly Option<string?> _accessLog = new("--access-log") { Description = "off, errors or all" };
        private readonly Option<string?> _otlp = new("--otlp") { Description = "where spans are sent", HelpName = "URL" };
        private readonly Option<double> _ready = new("--ready-timeout") { Description = "seconds the sidecar may take to be ready", DefaultValueFactory = _ => 30 };
        private readonly Option<double> _stopDelay = new("--stop-delay") { Description = "on SIGTERM: seconds that leaving the mesh may take before the program is told", DefaultValueFactory = _ => 5 };
        private readonly Option<int> _drain = new("--drain-time") { Description = "seconds the sidecar may take to finish what runs", DefaultValueFactory = _ => 30 };
        private readonly Argument<string[]> _command = new("COMMAND") { Description = "the program and its arguments, after --", Arity = ArgumentArity.OneOrMore, CaptureRemainingTokens = true };

        public void AddTo(Command command)
        {
            foreach (var option in (Option[])[_service, _ports, _version, _namespace, _workload, _zone, _labels, _upstreams,
                _healthPath, _sidecar, _sidecarLog, _sidecarFlags, _accessLog, _otlp, _ready, _stopDelay, _drain, _capture, _captureMode, _captureFlags])
                command.Add(option);
            _join.AddTo(command);
            command.Add(_command);
            _command.Validators.Add(result =>
            {
                if (result.Tokens is [{ Value: ['-', ..] option }, ..])
                    result.AddError($"unknown option '{option}'");
            });
            _ports.Validators.Add(result => CheckPorts(result.GetValueOrDefault<string[]>() ?? [], result.AddError));
            _capture.Validators.Add(result =>
            {
                if (CaptureTerms.Parse(result.Tokens.SingleOrDefault()?.Value).Error is { } error)
                    result.AddError(error);
            });
            _captureMode.AcceptOnlyFromAmong("redirect", "tproxy");
            _upstreams.Validators.Add(result => CheckUpstreams(result.GetValueOrDefault<string[]>() ?? [], result.AddError));
        }

        /// <summary>The program and its arguments.</summary>
        public Argument<string[]> Command => _command;

        /// <summary>Where the control plane is.</summary>
        public string ControlPlane(ParseResult parsed) => _join.ControlPlane(parsed);

        /// <summary>How it joins, under the addresses that were made for it or the one of the command line.</summary>
        public Joining ReadJoining(ParseResult parsed, IReadOnlyList<string>? addresses = null) =>
            _join.Read(parsed, parsed.GetRequiredValue(_service), parsed.GetValue(_namespace) ?? "default", addresses, ReadCapture(parsed) is not null);

        /// <summary>Whose traffic is captured; null: nobody's.</summary>
        public CaptureTerms? ReadCapture(ParseResult parsed) => parsed.GetResult(_capture) is null ? null : CaptureTerms.Parse(parsed.GetValue(_capture)).Terms! with
        {
            Transparent = parsed.GetValue(_captureMode) == "tproxy",
            InstallFlags = parsed.GetValue(_captureFlags) ?? [],
        };

        public RunOptions Read(ParseResult parsed, Joining joining)
        {
            return new RunOptions
            {
                Command = parsed.GetRequiredValue(_command),
                Sidecar = Programs.FindSidecar(parsed.GetValue(_sidecar)),
                Service = parsed.GetRequiredValue(_service),
                Ports = parsed.GetValue(_ports) ?? [],
                Upstreams = parsed.GetValue(_upstreams) ?? [],
                Joining = joining,
                Capture = ReadCapture(parsed),
                SidecarFlags = [.. SidecarFlags(parsed)],
                SidecarLog = parsed.GetValue(_sidecarLog),
                ReadyTimeout = TimeSpan.FromSeconds(parsed.GetValue(_ready)),
                StopDelay = TimeSpan.FromSeconds(parsed.GetValue(_stopDelay)),
                DrainTime = TimeSpan.FromSeconds(parsed.GetValue(_drain)),
            };
        }

        private IEnumerable<string> SidecarFlags(ParseResult parsed)
        {
            // One id for the whole run: a sidecar that is started again is still the same workload.
            var workload = parsed.GetValue(_workload) ?? $"{parsed.GetRequiredValue(_service)}-{Guid.NewGuid().ToString("N")[..8]}";
            List<string> flags = ["--workload", workload];
            if (parsed.GetValue(_sidecarLog) is null)
                flags.AddRange(["--log-level", "warn"]); // On the child's terminal only what matters.
            foreach (var (flag, option) in new (string, Option<string?>)[]
                {
                    ("--service-version", _version), ("--namespace", _namespace), ("--zone", _zone),
                    ("--health-path", _healthPath), ("--access-log", _accessLog), ("--otlp", _otlp),
                })
            {
                if (parsed.GetValue(option) is { } value)
                    flags.AddRange([flag, value]);
            }

            foreach (var label in parsed.GetValue(_labels) ?? [])
                flags.AddRange(["--label", label]);
            foreach (var flag in parsed.GetValue(_sidecarFlags) ?? [])
                flags.AddRange(flag.Split('=', 2));
            return flags;
        }

        private static void CheckPorts(string[] ports, Action<string> error)
        {
            foreach (var port in ports)
            {
                var parts = port.Split(':');
                if (parts.Length > 3 || !ushort.TryParse(parts[0], out var number) || number == 0)
                    error($"--port {port}: expected PORT[:PROTOCOL[:NAME]], PORT from 1 to 65535");
                else if (parts.Length > 1 && parts[1] is not ("http" or "http2" or "grpc" or "tcp" or ""))
                    error($"--port {port}: protocol '{parts[1]}' is none of http, http2, grpc, tcp");
            }
        }

        private static void CheckUpstreams(string[] upstreams, Action<string> error)
        {
            foreach (var upstream in upstreams)
            {
                var (at, colon) = (upstream.IndexOf('=', StringComparison.Ordinal), upstream.IndexOf(':', StringComparison.Ordinal));
                if (at < 1 || colon < at + 2)
                    error($"--upstream {upstream}: expected SERVICE=ADDRESS:PORT[:PROTOCOL], for example db=127.0.0.1:9191");
            }
        }
    }
}
