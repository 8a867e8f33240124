using System.Diagnostics;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>HTTP/2 conformance of a listener, by h2spec.</summary>
public sealed class H2SpecTests
{
    [SkippableFact]
    public async Task AListenerConformsToHttp2()
    {
        var h2spec = ExternalProgram.Require("h2spec");
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var run = Process.Start(new ProcessStartInfo(h2spec, ["-h", "127.0.0.1", "-p", $"{bed.Port.Port}", "-o", "5"]) { RedirectStandardOutput = true, UseShellExecute = false })!;
        var output = await run.StandardOutput.ReadToEndAsync();
        await run.WaitForExitAsync();
        var failures = output[output.LastIndexOf("Failures:", StringComparison.Ordinal)..];
        // One port speaks all protocols: what is no HTTP/2 preface is answered as HTTP/1 (400, then closed), and h2spec takes the answer for frames.
        Assert.Equal(1, failures.Split('\u00d7').Length - 1);
        Assert.Contains("Sends invalid connection preface", failures, StringComparison.Ordinal);
        Assert.Matches("14[0-9] passed", failures);
    }
}
