using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Threading.Channels;

namespace Mesh.Tests;

/// <summary>
/// A program started by a test: its output is kept (the last lines) for the day the test fails, and it never outlives the test host, even
/// when that is killed. Disposal asks it to end and kills it when it does not.
/// </summary>
public sealed class ChildProcess : IAsyncDisposable
{
    public const int SigInt = 2;
    public const int SigKill = 9;
    public const int SigTerm = 15;
    private const int KeptLines = 2000;
    private readonly ConcurrentQueue<string> lines = new();
    private readonly Process process;
    private readonly Channel<string> said = Channel.CreateBounded<string>(
        new BoundedChannelOptions(KeptLines) { FullMode = BoundedChannelFullMode.DropOldest });

    private ChildProcess(ProcessStartInfo start)
    {
        Name = Path.GetFileName(start.FileName);
        process = new Process { StartInfo = start, EnableRaisingEvents = true };
        process.OutputDataReceived += (_, line) =>
        {
            Keep(line.Data);
            if (line.Data is null) said.Writer.TryComplete();
            else said.Writer.TryWrite(line.Data);
        };
        process.ErrorDataReceived += (_, line) => Keep(line.Data);
        process.Start();
        Watchdog.Guard(process.Id);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    /// <summary>Name for error texts.</summary>
    public string Name { get; }

    /// <summary>Id.</summary>
    public int Id => process.Id;

    /// <summary>True once it has ended.</summary>
    public bool HasExited => process.HasExited;

    /// <summary>Exit code once it has ended.</summary>
    public int ExitCode => process.ExitCode;

    /// <summary>What it wrote last, both streams mixed.</summary>
    public string Output => string.Join('\n', lines);

    /// <summary>Starts a program. Variables with a null value are removed.</summary>
    public static ChildProcess Start(string program, IEnumerable<string> arguments, params (string Name, string? Value)[] environment)
    {
        var start = new ProcessStartInfo(program)
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        foreach (var argument in arguments) start.ArgumentList.Add(argument);
        foreach (var (name, value) in environment) start.Environment[name] = value;
        return new ChildProcess(start);
    }

    /// <summary>The next line it writes to its standard output; fails with its output when none comes.</summary>
    public async Task<string> NextLineAsync(double seconds = 60)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
        try
        {
            return await said.Reader.ReadAsync(limit.Token);
        }
        catch (Exception e) when (e is OperationCanceledException or ChannelClosedException)
        {
            throw new TimeoutException($"{Name} ({Id}) said nothing within {seconds} s. Its output:\n{Output}", e);
        }
    }

    /// <summary>Writes a line to its standard input.</summary>
    public async Task TellAsync(string line)
    {
        await process.StandardInput.WriteLineAsync(line);
        await process.StandardInput.FlushAsync();
    }

    /// <summary>Sends a signal.</summary>
    public void Signal(int signal)
    {
        if (!process.HasExited) _ = SendSignal(process.Id, signal);
    }

    /// <summary>Sends a signal to another process.</summary>
    public static void Signal(int pid, int signal) => _ = SendSignal(pid, signal);

    /// <summary>Kills it outright and waits until it is gone.</summary>
    public async Task KillAsync()
    {
        Signal(SigKill);
        await WaitAsync(30);
    }

    /// <summary>Asks it to end (SIGTERM) and waits; fails when it takes longer.</summary>
    public async Task<int> StopAsync(double seconds = 40)
    {
        Signal(SigTerm);
        return await WaitAsync(seconds);
    }

    /// <summary>Waits for its end; fails with its output when that does not come.</summary>
    public async Task<int> WaitAsync(double seconds)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
        try
        {
            await process.WaitForExitAsync(limit.Token);
            return process.ExitCode;
        }
        catch (OperationCanceledException e)
        {
            throw new TimeoutException($"{Name} ({Id}) did not end within {seconds} s. Its output:\n{Output}", e);
        }
    }

    /// <summary>Fails with its output when it has ended.</summary>
    public void MustRun()
    {
        if (process.HasExited) throw new InvalidOperationException($"{Name} ended with {process.ExitCode}. Its output:\n{Output}");
    }

    public async ValueTask DisposeAsync()
    {
        Signal(SigTerm);
        try
        {
            await WaitAsync(5);
        }
        catch (TimeoutException)
        {
            await KillAsync();
        }

        Watchdog.Release(process.Id);
        process.Dispose();
    }

    private void Keep(string? line)
    {
        if (line is null) return;
        lines.Enqueue(line);
        if (lines.Count > KeptLines) lines.TryDequeue(out _);
    }

    [DllImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SendSignal(int pid, int signal);

    /// <summary>A shell that kills what is left when our end of its input closes, however this process ends.</summary>
    private static class Watchdog
    {
        private const string Script =
            "all=' '; while read -r line; do case $line in +*) all=\"$all${line#+} \";; " +
            "-*) all=$(echo \"$all\" | sed \"s/ ${line#-} / /\");; esac; done; [ \"$all\" = ' ' ] || kill -9 $all";

        private static readonly Lazy<StreamWriter> Input = new(() =>
        {
            var start = new ProcessStartInfo("/bin/sh") { UseShellExecute = false, RedirectStandardInput = true };
            start.ArgumentList.Add("-c");
            start.ArgumentList.Add(Script);
            var input = Process.Start(start)!.StandardInput;
            input.AutoFlush = true;
            return input;
        });

        public static void Guard(int pid) => Write($"+{pid}");

        public static void Release(int pid) => Write($"-{pid}");

        private static void Write(string line)
        {
            lock (Input) Input.Value.WriteLine(line);
        }
    }
}
