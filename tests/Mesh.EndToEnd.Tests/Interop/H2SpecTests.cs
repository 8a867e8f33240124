using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Mesh.EndToEnd.Tests.Interop;

/// <summary>h2spec against the sidecar's HTTP/2 ports.</summary>
public sealed class H2SpecTests
{
    [SkippableTheory]
    [InlineData("outbound")]
    [InlineData("inbound")]
    public async Task The_port_speaks_http2_as_the_rfc_says(string which)
    {
        var h2spec = ExternalProgram.Require("h2spec");
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1", protocol: "http2", app: HttpProtocols.Http2);
            var port = (which == "inbound" ? web.Sidecar.Inbound(web.App.Port) : web.Sidecar.Outbound).Split(':')[1];
            await using var run = ChildProcess.Start(h2spec, ["-h", "127.0.0.1", "-p", port, "-o", "5"]);
            await run.WaitAsync(240);
            var failed = run.Output[(run.Output.IndexOf("Failures:", StringComparison.Ordinal) is var at and >= 0 ? at : run.Output.Length)..]
                .Split('\n').Where(line => line.Contains('×', StringComparison.Ordinal)).Select(line => line.Trim());
            // A port that tells HTTP/1 from HTTP/2 by the first bytes takes a wrong preface for HTTP/1, says 400 to it and closes; h2spec
            // would have it closed without a word.
            Assert.Equal(["× 2: Sends invalid connection preface"], failed);
            Assert.Contains("145 tests, 144 passed", run.Output, StringComparison.Ordinal);
        });
    }
}
