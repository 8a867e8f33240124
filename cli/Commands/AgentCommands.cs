using System.CommandLine;
using System.Net.Sockets;
using System.Threading.Channels;
using Mesh.Api.Identity;
using Mesh.Api.Identity.Agent;
using Mesh.Cli.Identity;

namespace Mesh.Cli.Commands;

/// <summary><c>meshctl identity fetch | serve</c>: identities for programs that have no sidecar.</summary>
internal static class AgentCommands
{
    public static Command Fetch()
    {
        var output = new Option<string>("--out") { Description = "folder (0700) for tls.crt, tls.key and ca.crt", HelpName = "DIR", Required = true };
        var watch = new Option<bool>("--watch", "-w") { Description = "stay, renew in time and write again, until Ctrl-C" };
        var wait = Wait();
        var agent = new AgentOptions();
        var command = new Command("fetch", "Gets a certificate and writes it as files, for gRPC's file_watcher and other programs that want files.") { output, watch, wait };
        agent.AddTo(command);
        command.SetAction((parsed, cancellation) => RunAsync(agent, parsed, parsed.GetValue(wait), async (running, life) =>
        {
            var files = new SvidFiles(parsed.GetRequiredValue(output));
            await WriteAsync(files, running.Current!);
            if (!parsed.GetValue(watch)) return;
            await foreach (var credentials in ChangesAsync(running, life)) await WriteAsync(files, credentials);
        }, cancellation));
        return command;
    }

    public static Command Serve()
    {
        var socket = new Option<string>("--socket") { Description = "unix socket (0600) that serves SDS: the secrets default and ROOTCA", HelpName = "PATH", Required = true };
        var wait = Wait();
        var agent = new AgentOptions();
        var command = new Command("serve", "Gets a certificate, keeps it fresh and serves it to an Envoy by SDS, until Ctrl-C.") { socket, wait };
        agent.AddTo(command);
        command.SetAction((parsed, cancellation) => RunAsync(agent, parsed, parsed.GetValue(wait), async (running, life) =>
        {
            var path = parsed.GetRequiredValue(socket);
            await using var server = await ListenAsync(path, running);
            await Console.Error.WriteLineAsync($"{running.Current!.Svid.Id} is served at {path}");
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, life);
        }, cancellation));
        return command;
    }

    private static Option<TimeSpan> Wait() => new("--timeout")
    {
        Description = "how long to wait for the first certificate",
        HelpName = "TIME",
        CustomParser = Durations.Parse,
        DefaultValueFactory = _ => TimeSpan.FromSeconds(30),
    };

    /// <summary>Runs an agent; <paramref name="certified"/> goes on when it holds its first certificate.</summary>
    private static async Task<int> RunAsync(
        AgentOptions options, ParseResult parsed, TimeSpan wait, Func<IdentityAgent, CancellationToken, Task> certified, CancellationToken cancellation)
    {
        var agent = await options.OpenAsync(parsed, cancellation);
        using var life = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var running = agent.RunAsync(life.Token);
        try
        {
            using var bound = CancellationTokenSource.CreateLinkedTokenSource(life.Token);
            bound.CancelAfter(wait);
            await agent.CertifiedAsync(bound.Token);
            await certified(agent, life.Token);
            return 0;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new CliException($"no certificate within {wait.TotalSeconds:0} s; the reasons are above");
        }
        finally
        {
            await life.CancelAsync();
            await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private static async Task<SdsServer> ListenAsync(string path, IdentityAgent agent)
    {
        try
        {
            return await SdsServer.StartAsync(path, agent, AgentOptions.Log);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            throw new CliException($"cannot serve at {path}: {e.Message}");
        }
    }

    private static async Task WriteAsync(SvidFiles files, Credentials credentials)
    {
        try
        {
            files.Write(credentials);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException($"cannot write the certificate: {e.Message}");
        }

        await Console.Error.WriteLineAsync($"{credentials.Svid.Id} until {credentials.Svid.NotAfter:u}");
    }

    /// <summary>Each change, the newest only when several came while one was written.</summary>
    private static async IAsyncEnumerable<Credentials> ChangesAsync(
        IdentityAgent agent, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation)
    {
        var changes = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
        void OnChanged() => changes.Writer.TryWrite(true);
        agent.Changed += OnChanged;
        try
        {
            await foreach (var _ in changes.Reader.ReadAllAsync(cancellation)) yield return agent.Current!;
        }
        finally
        {
            agent.Changed -= OnChanged;
        }
    }
}
