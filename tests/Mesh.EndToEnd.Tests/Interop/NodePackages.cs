using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Interop;

/// <summary>The npm packages of tests/interop/grpc-js, installed once when they are missing and can be had.</summary>
internal static class NodePackages
{
    private static readonly Lock Gate = new();
    private static Task<string?>? problem;

    /// <summary>Skips the test when Node or the packages are not there.</summary>
    public static async Task RequireAsync()
    {
        ExternalProgram.Require("node");
        lock (Gate) problem ??= InstallAsync();
        var missing = await problem;
        Skip.If(missing is not null, missing);
    }

    /// <summary>Starts a script below tests/interop/grpc-js.</summary>
    public static ChildProcess Start(string script, string[] arguments, params (string Name, string? Value)[] environment) =>
        ChildProcess.Start(ExternalProgram.Require("node"), [Programs.Interop($"grpc-js/{script}"), .. arguments], [.. environment, ("HTTP_PROXY", null), ("http_proxy", null), ("https_proxy", null)]);

    private static async Task<string?> InstallAsync()
    {
        var folder = Programs.Interop("grpc-js");
        if (Directory.Exists(Path.Combine(folder, "node_modules/@grpc/grpc-js-xds"))) return null;
        var npm = ExternalProgram.Find("npm");
        if (npm is null) return "npm is not installed, so the packages of tests/interop/grpc-js cannot be had";
        await using var install = ChildProcess.Start(npm, ["ci", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts"]);
        return await install.WaitAsync(180) == 0 ? null : $"npm ci in {folder} failed:\n{install.Output}";
    }
}
