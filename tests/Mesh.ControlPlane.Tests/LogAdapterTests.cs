using Mesh.Api.Logging;
using Mesh.Tests;
using Microsoft.Extensions.Logging;

namespace Mesh.ControlPlane.Tests;

public sealed class LogAdapterTests
{
    private readonly StringWriter output = new();

    [Fact]
    public void Fields_at_the_end_of_a_template_become_fields()
    {
        Logger("Mesh.ControlPlane.Sources.Consul.ConsulSource").LogWarning("Consul is down error={Error} tries={Tries}", "connection refused", 3);
        Assert.Equal("warn consul Consul is down error=\"connection refused\" tries=3\n", Line());
    }

    [Fact]
    public void Values_inside_of_the_words_stay_there()
    {
        Logger("Mesh.Grpc").LogError("call to {Method} failed code={Code}", "/a/b", 2);
        Assert.Equal("error grpc call to /a/b failed code=2\n", Line());
    }

    [Fact]
    public void The_framework_is_heard_from_warnings_up()
    {
        Logger("Microsoft.AspNetCore.Server.Kestrel").LogInformation("chatter");
        Assert.Empty(output.ToString());
        Logger("Microsoft.AspNetCore.Server.Kestrel").LogWarning("slow\nthing");
        Assert.Equal("warn kestrel slow\\nthing\n", Line());
    }

    private ILogger Logger(string category) => new LogAdapter(Log.To(output, Level.Info, new ManualTimeProvider())).CreateLogger(category);

    private string Line() => output.ToString()["2030-01-01T00:00:00.000Z ".Length..];
}
