using System.Runtime.CompilerServices;

namespace Mesh.EndToEnd.Tests.Testbed;

/// <summary>Where the programs under test and the scripts of the tests lie.</summary>
internal static class Programs
{
    /// <summary>The control plane.</summary>
    public static string ControlPlane { get; } = Built("Mesh.ControlPlane", "mesh-control-plane");

    /// <summary>The sidecar.</summary>
    public static string Sidecar { get; } = Built("Mesh.Sidecar", "mesh-sidecar");

    /// <summary>The operators' tool.</summary>
    public static string Meshctl { get; } = Built("Mesh.Cli", "meshctl");

    /// <summary>The application of the tests as a program.</summary>
    public static string EchoApp { get; } = Built("Mesh.EchoApp", "echo-app");

    /// <summary>The control plane with certificates that live for seconds.</summary>
    public static string ShortLived { get; } = Built("Mesh.ShortLived", "short-lived");

    /// <summary>Root of the repository.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>A script below tests/interop.</summary>
    public static string Interop(string path) => Path.Combine(Root, "tests/interop", path);

    private static string Built(string project, string program)
    {
        // artifacts/bin/Mesh.EndToEnd.Tests/debug/ -> artifacts/bin/PROJECT/debug/program
        var mine = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/'));
        var path = Path.Combine(mine.Parent!.Parent!.FullName, project, mine.Name, program);
        return File.Exists(path) ? path : throw new FileNotFoundException($"{path} is not built: run dotnet build first");
    }

    private static string FindRoot([CallerFilePath] string here = "")
    {
        var folder = new DirectoryInfo(Path.GetDirectoryName(here)!);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Mesh.sln"))) folder = folder.Parent;
        return folder?.FullName ?? throw new InvalidOperationException("Mesh.sln not found above " + here);
    }
}
