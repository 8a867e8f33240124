using Mesh.Api.Logging;
using Mesh.Tests;

namespace Mesh.Api.Tests.Logging;

public sealed class LogTests
{
    private readonly StringWriter output = new();
    private readonly Log log;

    public LogTests() => log = Log.To(output, Level.Info, new ManualTimeProvider());

    [Fact]
    public void A_line_has_time_level_area_message_and_fields()
    {
        log.For("xds").Warn("node left", ("node", "web-1"), ("after", 3));
        Assert.Equal("2030-01-01T00:00:00.000Z warn xds node left node=web-1 after=3\n", output.ToString());
    }

    [Theory]
    [InlineData("plain", "k=plain")]
    [InlineData("", "k=\"\"")]
    [InlineData("two words", "k=\"two words\"")]
    [InlineData("say \"hi\"", "k=\"say \\\"hi\\\"\"")]
    [InlineData("a\nb\r\u001b[31m", "k=a\\nb\\u000d\\u001b[31m")]
    public void Values_never_break_the_line(string value, string expected)
    {
        log.Info("m", ("k", value));
        Assert.Equal($"2030-01-01T00:00:00.000Z info main m {expected}\n", output.ToString());
    }

    [Fact]
    public void The_least_level_holds_for_all_areas_at_once()
    {
        var xds = log.For("xds");
        xds.Debug("unheard");
        log.Least = Level.Debug;
        xds.Debug("heard");
        Assert.Equal("2030-01-01T00:00:00.000Z debug xds heard\n", output.ToString());
    }

    [Theory]
    [InlineData("debug", true)]
    [InlineData("error", true)]
    [InlineData("loud", false)]
    [InlineData("", false)]
    public void Levels_are_read_as_written(string text, bool known) => Assert.Equal(known, Log.TryParse(text, out _));
}
