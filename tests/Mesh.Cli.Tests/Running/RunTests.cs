using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

namespace Mesh.Cli.Tests.Running;

/// <summary>
/// <c>meshctl run</c> as a supervisor: real processes and signals; the sidecar is a script that serves the two admin pages run needs
/// and can be told to misbehave. With the real sidecar it is tested end to end.
/// </summary>
public sealed class RunTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("mesh-run");

    public RunTests() => Skip.IfNot(File.Exists("/usr/bin/python3"), "python3 is not installed: it plays the sidecar");

    public void Dispose() => _folder.Delete(recursive: true);

    /// <summary>The script that plays the sidecar, ready to start.</summary>
    internal static string Script
    {
        get
        {
            var path = Path.Combine(AppContext.BaseDirectory, "sidecar.py");
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            return path;
        }
    }

    [SkippableTheory]
    [InlineData("exit 0", 0)]
    [InlineData("exit 7", 7)]
    [InlineData("kill -9 $$", 137)]
    [InlineData("kill -TERM $$", 143)]
    public async Task Exits_with_the_code_of_the_child(string script, int code)
    {
        var ended = await RunAsync([], script);

        Assert.True(code == ended.Code, ended.Error);
        Assert.Contains("sidecar ended cleanly", ended.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task The_child_finds_its_sidecar_and_its_port_in_its_environment()
    {
        var (_, output, error) = await RunAsync(["--port", "8080:http", "--upstream", "my-db=127.0.0.1:0", "--version", "v2"],
            "echo $HTTP_PROXY $http_proxy; echo $NO_PROXY; echo $PORT $MESH_SERVICE $MESH_UPSTREAM_MY_DB $MESH_ADMIN");

        var lines = output.Split('\n');
        Assert.Matches(@"^http://127\.0\.0\.1:\d+ http://127\.0\.0\.1:\d+$", lines[0]);
        Assert.Equal("example.org,localhost,127.0.0.1,::1", lines[1]);
        Assert.Matches(@"^8080 web 127\.0\.0\.1:\d+ http://127\.0\.0\.1:\d+$", lines[2]);
        Assert.Contains("--service web", error, StringComparison.Ordinal);
        Assert.Contains("--port 8080:http --inbound 127.0.0.1:0", error, StringComparison.Ordinal);
        Assert.Contains("--service-version v2", error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Input_and_output_pass_through_and_the_sidecar_log_goes_to_its_file()
    {
        var log = Path.Combine(_folder.FullName, "sidecar.log");

        var (code, output, error) = await RunAsync(["--sidecar-log", log], "echo out; echo err >&2");

        Assert.Equal((0, "out\n", "err\n"), (code, output, error));
        Assert.Contains("sidecar ended cleanly", await File.ReadAllTextAsync(log), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Sigterm_leaves_the_mesh_first_and_then_reaches_the_child()
    {
        using var meshctl = Start(["--port", "8080", "--stop-delay", "0.2"], "trap 'echo child got TERM >&2; exit 3' TERM; touch $READY; while :; do sleep 0.05; done");
        await WaitForAsync(File.Exists, Ready);

        Kill(meshctl.Id, 15);

        var (code, _, error) = await meshctl.EndAsync();
        Assert.Equal(3, code);
        Assert.True(error.IndexOf("drain_listeners", StringComparison.Ordinal) < error.IndexOf("child got TERM", StringComparison.Ordinal), error);
        Assert.True(error.IndexOf("child got TERM", StringComparison.Ordinal) < error.IndexOf("sidecar ended cleanly", StringComparison.Ordinal), error);
    }

    [SkippableFact]
    public async Task A_sidecar_that_cannot_start_is_told_with_its_last_words()
    {
        var (code, output, error) = await RunAsync([], "echo never", behave: "die");

        Assert.Equal((1, ""), (code, output));
        Assert.Contains("meshctl: the sidecar ended with code 5 before it was ready. Its last words:", error, StringComparison.Ordinal);
        Assert.Contains("    port taken", error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_sidecar_that_never_gets_ready_is_told_with_its_reason()
    {
        var (code, output, error) = await RunAsync(["--ready-timeout", "1.5"], "echo never", behave: "unready");

        Assert.Equal((1, ""), (code, output));
        Assert.Contains("not ready within", error, StringComparison.Ordinal);
        Assert.Contains("waiting for the control plane", error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_sidecar_that_dies_comes_back_on_the_same_ports()
    {
        var (code, output, error) = await RunAsync(["--port", "8080"],
            "before=$HTTP_PROXY; kill -9 $(cat $FOLDER/pid); until test -e $FOLDER/started.2; do sleep 0.05; done; echo $before; exit 4");

        Assert.Equal(4, code);
        Assert.Contains("the sidecar ended with code 137 while web runs: starting it again (1/5)", error, StringComparison.Ordinal);
        var address = output.Trim()["http://".Length..];
        Assert.Contains($"--outbound {address}", error, StringComparison.Ordinal);
        var workloads = Regex.Matches(error, @"--workload (?<id>web-[0-9a-f]{8})", RegexOptions.ExplicitCapture, TimeSpan.FromSeconds(1)).Select(m => m.Groups["id"].Value).ToList();
        Assert.Equal(2, workloads.Count);
        Assert.Single(workloads.Distinct(StringComparer.Ordinal));
    }

    [SkippableFact]
    public async Task A_sidecar_that_cannot_be_named_is_told()
    {
        var (code, _, error) = await Meshctl.RunAsync("run", "--service", "web", "--sidecar", "/no/such/file", "--", "true");

        Assert.Equal(1, code);
        Assert.Contains("/no/such/file", error, StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("no-such-command-at-all", 127)]
    [InlineData("/etc/hostname", 126)]
    public async Task A_command_that_cannot_run_has_the_code_of_a_shell(string command, int code)
    {
        var ended = await Meshctl.RunAsync("run", "--service", "web", "--sidecar", Script, "--control-plane", "http://127.0.0.1:1", "--", command);

        Assert.Equal(code, ended.Code);
    }

    private string Ready => Path.Combine(_folder.FullName, "ready");

    private Meshctl Start(string[] flags, string script, string behave = "")
    {
        var environment = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["FOLDER"] = _folder.FullName,
            ["READY"] = Ready,
            ["BEHAVE"] = behave,
            ["NO_PROXY"] = "example.org",
        };
        return Meshctl.Start(environment, ["run", "--service", "web", "--sidecar", Script, "--control-plane", "http://127.0.0.1:1", .. flags, "--", "sh", "-c", script]);
    }

    private async Task<(int Code, string Output, string Error)> RunAsync(string[] flags, string script, string behave = "")
    {
        using var meshctl = Start(flags, script, behave);
        return await meshctl.EndAsync();
    }

    private static async Task WaitForAsync(Func<string, bool> condition, string what, [CallerArgumentExpression(nameof(what))] string name = "")
    {
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!condition(what))
        {
            Assert.False(bound.IsCancellationRequested, $"{name} did not come");
            await Task.Delay(10);
        }
    }

    private static void Kill(int process, int signal)
    {
        using var kill = System.Diagnostics.Process.Start("kill", ["-" + signal, process.ToString()]);
        kill.WaitForExit();
    }
}
