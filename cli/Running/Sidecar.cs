using System.Diagnostics;
using Mesh.Cli.Operators;

namespace Mesh.Cli.Running;

/// <summary>
/// The sidecar process of one run: started on free ports, waited for, started again on the same ports should it die, drained at the
/// end. Owned by the run.
/// </summary>
internal sealed class Sidecar : IDisposable
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(2);
    private readonly RunOptions _options;
    private readonly SidecarLog _log;
    private readonly TimeProvider _time;
    private readonly string _portsFile = Path.Combine(Path.GetTempPath(), $"mesh-ports-{Environment.ProcessId}-{Guid.NewGuid():N}.json");
    private readonly HttpClient _http = new(new SocketsHttpHandler { UseProxy = false }) { Timeout = TimeSpan.FromSeconds(2) };
    private readonly Lock _ending = new();
    private Process? _process;

    public Sidecar(RunOptions options, SidecarLog log, TimeProvider time) => (_options, _log, _time) = (options, log, time);

    /// <summary>Told of each process that is started.</summary>
    public event Action<int>? Launched;

    /// <summary>Where it listens; known once it has been ready.</summary>
    public BoundPorts Ports { get; private set; } = new();

    /// <summary>Starts it and waits until it takes traffic; tells in words why not.</summary>
    public async Task StartAsync(CancellationToken cancellation)
    {
        File.Delete(_portsFile);
        var process = _process = Launch(await _options.Joining.TokenAsync(again: _process is not null, cancellation));
        using var bound = new CancellationTokenSource(_options.ReadyTimeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(bound.Token, cancellation);
        try
        {
            while (!await IsReadyAsync(either.Token))
            {
                if (process.HasExited)
                {
                    await HearItOutAsync(process);
                    throw new CliException($"the sidecar ended with code {process.ExitCode} before it was ready.{_log.Tail()}");
                }

                await Task.Delay(Poll, _time, either.Token);
            }
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new CliException($"the sidecar was not ready within {_options.ReadyTimeout.TotalSeconds:0} s ({await ReasonAsync()}).{_log.Tail()}");
        }
    }

    /// <summary>Completes with its exit code when it ends.</summary>
    public async Task<int> WaitForExitAsync(CancellationToken cancellation)
    {
        await _process!.WaitForExitAsync(cancellation);
        return _process.ExitCode;
    }

    /// <summary>Takes the workload out of the mesh and waits, for a while at most, until no request comes in any more. Outbound goes on.</summary>
    public async Task LeaveMeshAsync()
    {
        using var bound = new CancellationTokenSource(_options.StopDelay, _time);
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { Timeout = Timeout.InfiniteTimeSpan };
        try
        {
            using var answer = await http.PostAsync(new Uri($"http://{Ports.Admin}/drain_listeners?inboundonly&graceful&wait"), null, bound.Token);
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
        {
            // Not done in time, or it is gone: the child has to end all the same.
        }
    }

    /// <summary>Lets it finish and end; kills it when it takes too long.</summary>
    public async Task StopAsync()
    {
        if (_process is not { HasExited: false } process)
            return;
        Signals.Send(process.Id, Signals.Terminate);
        using var bound = new CancellationTokenSource(_options.DrainTime + TimeSpan.FromSeconds(5), _time);
        try
        {
            await process.WaitForExitAsync(bound.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
        }
    }

    /// <summary>Ends it at once; safe from any thread, also when it has gone.</summary>
    public void Kill()
    {
        lock (_ending)
        {
            if (_process is { HasExited: false } process)
                Signals.Send(process.Id, Signals.Kill);
        }
    }

    public void Dispose()
    {
        _http.Dispose();
        lock (_ending)
        {
            _process?.Dispose();
            _process = null;
        }

        File.Delete(_portsFile);
    }

    /// <summary>The end of a process may be seen before its last lines are: waits for them, but not for somebody who inherited its streams.</summary>
    private async Task HearItOutAsync(Process process)
    {
        using var bound = new CancellationTokenSource(LastWords, _time);
        await process.WaitForExitAsync(bound.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task<bool> IsReadyAsync(CancellationToken cancellation)
    {
        if (BoundPorts.TryRead(_portsFile) is not { } ports)
            return false;
        try
        {
            using var answer = await _http.GetAsync(new Uri($"http://{ports.Admin}/ready"), cancellation);
            if (!answer.IsSuccessStatusCode)
                return false;
            Ports = ports;
            return true;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private async Task<string> ReasonAsync()
    {
        if (BoundPorts.TryRead(_portsFile) is not { } ports)
            return "it has not bound its ports";
        try
        {
            using var answer = await _http.GetAsync(new Uri($"http://{ports.Admin}/ready"));
            return (await answer.Content.ReadAsStringAsync()).Trim();
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            return "its admin port does not answer";
        }
    }

    private Process Launch(string? joinToken)
    {
        // In a session of its own: Ctrl-C at the terminal is for the child; the sidecar must outlive it.
        string[] command = [.. Programs.OnPath("setsid") is { } setsid ? [setsid] : (string[])[], .. _options.Capture is { } capture ? CaptureRules.AsSidecar(capture, _options.Sidecar) : [_options.Sidecar]];
        var start = new ProcessStartInfo(command[0])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var argument in command.Skip(1))
            start.ArgumentList.Add(argument);
        foreach (var argument in SidecarArguments.Of(_options, Ports, _portsFile))
            start.ArgumentList.Add(argument);
        foreach (var secret in OperatorsToken.SecretVariables)
            start.Environment.Remove(secret);
        if (_options.Capture is not null)
            start.Environment[RunRecord.Variable] = RunRecord.Name;
        start.Environment[JoinTokens.Variable] = joinToken; // Null removes it. On the command line everybody could read it.

        var process = new Process { StartInfo = start };
        process.OutputDataReceived += (_, line) => _log.Add(line.Data);
        process.ErrorDataReceived += (_, line) => _log.Add(line.Data);
        process.Start();
        Launched?.Invoke(process.Id);
        process.StandardInput.Close();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }
}
