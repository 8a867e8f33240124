using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Mesh.Tests;

/// <summary>
/// Finds programs that tests need and this repository does not contain: named in <c>MESH_PROGRAM_NAME</c> (upper case, _ for -), else on PATH,
/// else by <c>shared/peers/programs/get NAME</c> beside the repository or one of its parents. Thread safe; looks once for each name.
/// </summary>
public static class ExternalProgram
{
    private static readonly ConcurrentDictionary<string, Lazy<string?>> Known = new(StringComparer.Ordinal);

    /// <summary>Path of a program, or null.</summary>
    public static string? Find(string name) => Known.GetOrAdd(name, n => new Lazy<string?>(() => Locate(n))).Value;

    /// <summary>Path of a program; skips the test when there is none.</summary>
    public static string Require(string name)
    {
        var path = Find(name);
        Skip.If(path is null, $"no {name}: put it on PATH or name it in {Variable(name)}");
        return path!;
    }

    private static string Variable(string name) => "MESH_PROGRAM_" + name.ToUpperInvariant().Replace('-', '_');

    private static string? Locate(string name)
    {
        if (Environment.GetEnvironmentVariable(Variable(name)) is { Length: > 0 } named) return named;
        var path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':');
        // Debian keeps servers in sbin, which not everybody has on PATH.
        if (path.Append("/usr/sbin").Select(d => Path.Combine(d, name)).FirstOrDefault(File.Exists) is { } found) return found;
        for (var d = new DirectoryInfo(SourceFolder()); d is not null; d = d.Parent)
        {
            var get = Path.Combine(d.FullName, "shared/peers/programs/get");
            if (File.Exists(get)) return RunGet(get, name);
        }

        return null;
    }

    private static string SourceFolder([CallerFilePath] string here = "") => Path.GetDirectoryName(here)!;

    private static string? RunGet(string get, string name)
    {
        using var unpack = Process.Start(new ProcessStartInfo(get, name)
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var path = unpack.StandardOutput.ReadToEnd().Trim();
        unpack.WaitForExit();
        return unpack.ExitCode == 0 && File.Exists(path) ? path : null;
    }
}
