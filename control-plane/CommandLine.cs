using System.CommandLine;
using System.CommandLine.Parsing;
using Mesh.Api.Logging;

namespace Mesh.ControlPlane;

/// <summary>The flags of <c>mesh-control-plane</c> and how they become <see cref="Options"/>. Used once, at the start.</summary>
internal sealed class CommandLine(TimeSpan leastCertificateLifetime)
{
    private readonly Option<string?> consul = new("--consul") { Description = "Consul's HTTP API, such as http://127.0.0.1:8500; without it the built-in registry is served", HelpName = "URL" };
    private readonly Option<string?> consulTokenFile = new("--consul-token-file") { Description = "file with the ACL token for Consul (else the environment's CONSUL_HTTP_TOKEN)", HelpName = "FILE" };
    private readonly Option<string?> consulDatacenter = new("--consul-datacenter") { Description = "Consul's datacenter, if not the agent's own", HelpName = "NAME" };
    private readonly Option<string?> consulCaFile = new("--consul-ca-file") { Description = "PEM file of the authorities trusted for TLS to Consul", HelpName = "FILE" };
    private readonly IdentityFlags identity = new(leastCertificateLifetime);
    private readonly NetworkFlags network = new();
    private readonly Option<string> data = new("--data") { Description = "folder of what must survive: the authority's keys, the operators' tokens, the built-in registry", DefaultValueFactory = _ => DefaultData(), HelpName = "DIR" };
    private readonly Option<string?> rules = new("--rules") { Description = "folder of rule files, watched", HelpName = "DIR" };
    private readonly Option<ListenAddress[]> meshApi = Address<ListenAddress[]>("--mesh-api", "certificates, xDS, registration and telemetry over mutual TLS; may be repeated", Each, "0.0.0.0:15012");
    private readonly Option<ListenAddress[]> xds = Address<ListenAddress[]>("--xds", "plaintext xDS for clients without an identity, such as 127.0.0.1:15010: loopback or unix:/path only, without registration, telemetry and roots; may be repeated; default none", Each, null);
    private readonly Option<ListenAddress> health = Address("--health", "health and metrics", One, "127.0.0.1:15014");
    private readonly Option<ListenAddress> operators = Address("--operators", "operators' API and /debug: loopback only", One, "127.0.0.1:15015");
    private readonly Option<ListenAddress> registry = Address("--registry", "the built-in registry, when there is no --consul", One, "127.0.0.1:8500");
    private readonly Option<double> grace = new("--grace") { Description = "how long a workload that vanished without a word stays registered", DefaultValueFactory = _ => 10, HelpName = "SECONDS" };
    private readonly Option<string?> portsFile = new("--ports-file") { Description = "write the bound addresses to this file, as JSON", HelpName = "FILE" };
    private readonly Option<string> replicaId = new("--replica-id") { Description = "name of this control plane among those that share a registry", DefaultValueFactory = _ => Environment.MachineName, HelpName = "NAME" };
    private readonly Option<string?> otlp = new("--otlp") { Description = "send metrics to this OTLP endpoint, such as http://127.0.0.1:4317", HelpName = "URL" };
    private readonly Option<string> logLevel = new("--log-level") { Description = "debug, info, warn or error", DefaultValueFactory = _ => "info", HelpName = "LEVEL" };

    /// <summary>Parses the arguments and runs <paramref name="program"/> with them; 2 for flags that are wrong.</summary>
    public async Task<int> InvokeAsync(string[] args, TextWriter errors, Func<Options, Task<int>> program)
    {
        var root = new RootCommand("Mesh control plane: knows services and rules, and tells every sidecar what to do.");
        foreach (var option in (Option[])[consul, consulTokenFile, consulDatacenter, consulCaFile, data, rules, meshApi, xds, health, operators, registry, grace, portsFile, replicaId, otlp, logLevel])
            root.Options.Add(option);
        identity.AddTo(root);
        network.AddTo(root);
        root.SetAction(async (parsed, _) =>
        {
            if (TryRead(parsed, out var options, out var error)) return await program(options!);
            await errors.WriteLineAsync($"mesh-control-plane: {error}");
            return 2;
        });
        var result = root.Parse(args);
        if (result.Errors.Count == 0) return await result.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null });
        foreach (var error in result.Errors) await errors.WriteLineAsync($"mesh-control-plane: {error.Message}");
        await errors.WriteLineAsync("mesh-control-plane: see --help");
        return 2;
    }

    private bool TryRead(ParseResult parsed, out Options? options, out string error)
    {
        (options, error) = (null, "");
        try
        {
            options = Read(parsed);
            return true;
        }
        catch (FormatException e)
        {
            error = e.Message;
            return false;
        }
    }

    private Options Read(ParseResult parsed)
    {
        var token = Environment.GetEnvironmentVariable("CONSUL_HTTP_TOKEN");
        return new Options
        {
            Consul = Url(parsed, consul),
            ConsulTokenFile = parsed.GetValue(consulTokenFile),
            ConsulToken = string.IsNullOrWhiteSpace(token) ? null : token.Trim(),
            ConsulDatacenter = parsed.GetValue(consulDatacenter),
            ConsulCaFile = parsed.GetValue(consulCaFile),
            Data = Path.GetFullPath(parsed.GetValue(data)!),
            Rules = parsed.GetValue(rules) is { } folder ? Path.GetFullPath(folder) : null,
            MeshApi = [.. parsed.GetValue(meshApi)!],
            Identity = identity.Read(parsed, hasConsul: parsed.GetValue(consul) is not null),
            Network = network.Read(parsed),
            OperatorCertificates = identity.ReadOperators(parsed),
            Xds = [.. (parsed.GetValue(xds) ?? []).Select(a => Local(a, "--xds", "it is served without authentication, so whoever reaches the port could read the mesh's configuration"))],
            Health = parsed.GetValue(health)!,
            Operators = Local(parsed.GetValue(operators)!, "--operators", "the operators' API has no login yet, so whoever reaches the port could read everything"),
            Registry = Local(parsed.GetValue(registry)!, "--registry", "the built-in registry has no access control, so whoever reaches the port could take over any service"),
            Grace = parsed.GetValue(grace) is var seconds and >= 0 and <= 3600 ? TimeSpan.FromSeconds(seconds) : throw new FormatException("--grace: 0 to 3600 seconds"),
            PortsFile = parsed.GetValue(portsFile),
            ReplicaId = parsed.GetValue(replicaId) is { Length: > 0 and <= 128 } name ? name : throw new FormatException("--replica-id: 1 to 128 characters"),
            Otlp = Url(parsed, otlp),
            LogLevel = Log.TryParse(parsed.GetValue(logLevel)!, out var level) ? level : throw new FormatException("--log-level: debug, info, warn or error"),
        };
    }

    private static Uri? Url(ParseResult parsed, Option<string?> option)
    {
        if (parsed.GetValue(option) is not { } text) return null;
        if (!Uri.TryCreate(text, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https"))
            throw new FormatException($"{option.Name}: '{text}' is no http or https URL, such as http://127.0.0.1:8500");
        return uri.UserInfo.Length == 0 ? uri : throw new FormatException($"{option.Name}: give no user or password in the URL; others can read the command line");
    }

    private static ListenAddress Local(ListenAddress address, string flag, string why) =>
        address.IsLocal ? address : throw new FormatException($"{flag}: {address} is refused, only loopback addresses (127.0.0.1, [::1]) and unix:/path are served: {why}");

    private static Option<T> Address<T>(string name, string description, Func<ArgumentResult, T> read, string? fallback)
    {
        var option = new Option<T>(name) { Description = description, HelpName = "ADDR" };
        if (fallback is not null) option.DefaultValueFactory = _ => Fallback<T>(fallback);
        option.CustomParser = result =>
        {
            try
            {
                return read(result);
            }
            catch (FormatException e)
            {
                result.AddError(e.Message);
                return default;
            }
        };
        return option;
    }

    private static T Fallback<T>(string address) =>
        typeof(T) == typeof(ListenAddress) ? (T)(object)ListenAddress.Parse(address) : (T)(object)new[] { ListenAddress.Parse(address) };

    private static ListenAddress[] Each(ArgumentResult result) => [.. result.Tokens.Select(token => ListenAddress.Parse(token.Value))];

    private static ListenAddress One(ArgumentResult result) => ListenAddress.Parse(result.Tokens[^1].Value);

    private static string DefaultData()
    {
        var state = Environment.GetEnvironmentVariable("XDG_STATE_HOME");
        return Path.Combine(string.IsNullOrEmpty(state) ? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".local", "state") : state, "mesh");
    }
}
