using System.Diagnostics;
using Mesh.Sidecar.Telemetry;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Telemetry;

public class PromtoolTests
{
    [SkippableFact]
    public async Task Promtool_finds_nothing_but_istios_own_name()
    {
        const string promtool = "/usr/bin/promtool";
        Skip.IfNot(File.Exists(promtool), "promtool is not installed (Debian package prometheus)");
        var time = new ManualTimeProvider();
        var sink = TelemetrySink.Plain(time);
        var facts = Samples.Request(time);
        facts.Source = Samples.Web with { Version = "a\"b\\c\nd" };
        sink.Request(facts);
        sink.TcpOpened(Samples.Tcp(time));
        sink.Own.Observe("mesh_sidecar_xds_connected", "1 while connected.", grows: false, () => 1);
        using var process = Process.Start(new ProcessStartInfo(promtool, "check metrics")
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        await process.StandardInput.WriteAsync(await Samples.ExposeAsync(sink));
        process.StandardInput.Close();
        var complaints = await process.StandardError.ReadToEndAsync() + await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        // Istio's name keeps milliseconds; the linter would rather have seconds.
        Assert.Equal("istio_request_duration_milliseconds use base unit \"seconds\" instead of \"milliseconds\"", complaints.Trim());
    }
}
