using System.Reflection;
using Mesh.Api.Identity;
using Mesh.Api.Logging;

namespace Mesh.Sidecar;

/// <summary>mesh-sidecar: reads its flags, and lives in <see cref="Sidecar"/>.</summary>
internal static class Program
{
    private const int BadFlags = 2;

    /// <summary>Version with the commit it was built from.</summary>
    public static string Version { get; } =
        typeof(Program).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    private static async Task<int> Main(string[] args)
    {
        if (args is ["capture", ..]) return Capture.CaptureCommand.Run(args[1..], Console.Out, Console.Error);
        if (args.Contains("--help") || args.Contains("-h")) return Say(Console.Out, FlagParser.Help, 0);
        if (args.Contains("--version")) return Say(Console.Out, $"mesh-sidecar {Version}\n", 0);
        var (flags, errors) = FlagParser.Parse(args);
        if (errors.Count > 0) return Say(Console.Error, string.Concat(errors.Select(e => $"mesh-sidecar: {e}\n")) + "mesh-sidecar --help says more\n", BadFlags);

        // Before the first socket: both are read once, when the socket engine starts.
        DataPath.TuneRuntime();
        // Peers and control plane are judged by the mesh's roots; only a collector of telemetry may be known by the machine's.
        if (flags.Otlp?.StartsWith("https:", StringComparison.OrdinalIgnoreCase) is not true) SystemRoots.LeaveOut();
        if (flags.Workers > 0) Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_THREAD_COUNT", $"{flags.Workers}");

        var log = Log.To(Console.Error, flags.LogLevel, TimeProvider.System);
        AppDomain.CurrentDomain.UnhandledException += (_, e) => log.Error("fatal", ("error", e.ExceptionObject));
        TaskScheduler.UnobservedTaskException += (_, e) =>
        {
            log.Error("a task failed and nobody looked", ("error", e.Exception));
            e.SetObserved();
        };
        try
        {
            await using var sidecar = new Sidecar(flags, TimeProvider.System, log);
            return await sidecar.RunAsync();
        }
        catch (ArgumentException e) when (flags.ControlPlane is not null && e.ParamName == "address")
        {
            return Say(Console.Error, $"mesh-sidecar: --control-plane: {e.Message}\n", BadFlags);
        }
        catch (IOException e)
        {
            // What the flags name cannot be used: a token that is none, a file that cannot be read.
            return Say(Console.Error, $"mesh-sidecar: {e.Message}\n", BadFlags);
        }
    }

    private static int Say(TextWriter output, string text, int code)
    {
        output.Write(text);
        return code;
    }
}
