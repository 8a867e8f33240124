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
            var exit = await run.WaitAsync(240);
            Assert.True(exit == 0, run.Output);
            Assert.Contains(" 0 failed", run.Output, StringComparison.Ordinal);
        });
    }
}
