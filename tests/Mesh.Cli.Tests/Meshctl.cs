using System.Diagnostics;
using System.Reflection;

namespace Mesh.Cli.Tests;

/// <summary>Runs the built program and keeps what it says. A test that starts one disposes it.</summary>
internal sealed class Meshctl : IDisposable
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(60);
    private readonly Process _process;
    private readonly Task<string> _output;
    private readonly Task<string> _error;

    private Meshctl(Process process) =>
        (_process, _output, _error) = (process, process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());

    public int Id => _process.Id;

    public static Meshctl Start(params string[] arguments) => Start(new Dictionary<string, string>(StringComparer.Ordinal), arguments);

    public static Meshctl Start(IReadOnlyDictionary<string, string> environment, params string[] arguments)
    {
        var start = new ProcessStartInfo(Program, arguments)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var name in (string[])["MESH_OPERATORS", "MESH_CONTROL_PLANE", "MESH_SIDECAR", "MESH_JOIN_TOKEN",
            "MESH_OPERATORS_TOKEN", "MESH_OPERATORS_TOKEN_FILE", "MESH_OPERATORS_CERTIFICATE", "XDG_STATE_HOME", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"])
            start.Environment.Remove(name);
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        return new Meshctl(Process.Start(start)!);
    }

    public static async Task<(int Code, string Output, string Error)> RunAsync(params string[] arguments)
    {
        using var meshctl = Start(arguments);
        return await meshctl.EndAsync();
    }

    public async Task<(int Code, string Output, string Error)> EndAsync()
    {
        using var bound = new CancellationTokenSource(Bound);
        await _process.WaitForExitAsync(bound.Token);
        return (_process.ExitCode, await _output.WaitAsync(Bound), await _error.WaitAsync(Bound));
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }

    /// <summary>The program beside this test's own folder: artifacts/bin/Mesh.Cli/CONFIGURATION/meshctl.</summary>
    private static string Program
    {
        get
        {
            var here = Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location)!;
            return Path.GetFullPath(Path.Combine(here, "..", "..", "Mesh.Cli", Path.GetFileName(here), "meshctl"));
        }
    }
}
