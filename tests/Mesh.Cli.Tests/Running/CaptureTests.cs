using Mesh.Cli.Running;

namespace Mesh.Cli.Tests.Running;

/// <summary>What <c>meshctl run --capture</c> makes of its command line. That it captures is tested end to end.</summary>
public sealed class CaptureTests
{
    [Theory]
    [InlineData("run --capture --service a -- x", "run --capture=here --control-plane=R --address=1.2.3.4 --service a -- x")]
    [InlineData("run --capture netns --service a -- x", "run --capture=here --control-plane=R --address=1.2.3.4 --service a -- x")]
    [InlineData("run --capture=netns --service=a --control-plane P --address Q --token-file F -- x", "run --capture=here --control-plane=R --address=1.2.3.4 --service=a -- x")]
    [InlineData("run --service a --control-plane=P --capture -- x --capture --address 5", "run --capture=here --control-plane=R --address=1.2.3.4 --service a -- x --capture --address 5")]
    [InlineData("run --capture --capture-mode tproxy -- x", "run --capture=here --control-plane=R --address=1.2.3.4 --capture-mode tproxy -- x")]
    public void The_command_line_for_inside(string given, string inside) => Assert.Equal(inside, string.Join(' ', NamespaceRun.Rewrite(given.Split(' '), "R", "1.2.3.4")));

    [Theory]
    [InlineData(null, CapturePlace.OwnNamespace)]
    [InlineData("netns", CapturePlace.OwnNamespace)]
    [InlineData("here", CapturePlace.Here)]
    [InlineData("uid:1000", CapturePlace.User)]
    [InlineData("cgroup", CapturePlace.Cgroup)]
    internal void Places(string? value, CapturePlace place) => Assert.Equal(place, CaptureTerms.Parse(value).Terms!.Place);

    [Theory]
    [InlineData("uid:1337", "the sidecar's own user")]
    [InlineData("uid:root", "expected one of")]
    [InlineData("pod", "expected one of")]
    public void What_is_no_place(string value, string complaint) => Assert.Contains(complaint, CaptureTerms.Parse(value).Error, StringComparison.Ordinal);

    [Theory]
    [InlineData("127.0.0.1:15012", "127.0.0.1:15012")]
    [InlineData("http://localhost:15010", "127.0.0.1:15010")]
    [InlineData("https://[::1]:15012", "[::1]:15012")]
    [InlineData("10.0.0.1:15012", null)]
    [InlineData("mesh.example:15012", null)]
    public void What_is_relayed(string controlPlane, string? loopback) => Assert.Equal(loopback, Relay.Loopback(controlPlane)?.ToString());
}
