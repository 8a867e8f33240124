using System.Text.Json;

namespace Mesh.Benchmarks;

/// <summary>A control plane of the bench's own, on free ports, with its built-in registry and one rule file.</summary>
internal sealed class ControlPlane : IDisposable
{
    private readonly string ruleFolder;

    private ControlPlane(Subject subject, string rules, JsonElement ports)
    {
        Subject = subject;
        ruleFolder = rules;
        Xds = "http://" + ports.GetProperty("xds").GetString()!;
        Registry = ports.GetProperty("registry").GetString()!;
    }

    public Subject Subject { get; }

    public string Xds { get; }

    public string Registry { get; }

    public static ControlPlane Start(string folder, string name)
    {
        var home = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
        var rules = Directory.CreateDirectory(Path.Combine(home, "rules")).FullName;
        var ports = Path.Combine(home, "ports.json");
        var subject = Subject.Start(
            "control-plane", 0, Environment.ProcessorCount > 2 ? "0-1" : "0", Path.Combine(home, "log"), Environment.GetEnvironmentVariable("MESH_BENCH_CONTROL_PLANE")!,
            "--rules", rules, "--data", Path.Combine(home, "data"), "--mesh-api", "127.0.0.1:0", "--xds", "127.0.0.1:0", "--health", "127.0.0.1:0",
            "--operators", "127.0.0.1:0", "--registry", "127.0.0.1:0", "--ports-file", ports);
        for (var tries = 0; !File.Exists(ports); tries++)
        {
            if (tries > 200) throw new TimeoutException("the control plane did not start: " + File.ReadAllText(Path.Combine(home, "log")));
            Thread.Sleep(50);
        }

        using var document = JsonDocument.Parse(File.ReadAllText(ports));
        return new ControlPlane(subject, rules, document.RootElement.Clone());
    }

    /// <summary>Replaces the rule file as an editor does: write beside, rename.</summary>
    public void WriteRule(string text)
    {
        var path = Path.Combine(ruleFolder, ".new");
        File.WriteAllText(path, text);
        File.Move(path, Path.Combine(ruleFolder, "canary.yaml"), overwrite: true);
    }

    public void Dispose() => Subject.Dispose();
}
