using FsCheck;
using FsCheck.Fluent;
using Mesh.ControlPlane.Sources.Registry.Json;

namespace Mesh.ControlPlane.Tests.Sources.Registry;

public sealed class GoDurationTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("0s", 0)]
    [InlineData("10s", 10_000)]
    [InlineData("1m30s", 90_000)]
    [InlineData("1.5h", 5_400_000)]
    [InlineData("1h2m3.5s", 3_723_500)]
    [InlineData("250ms", 250)]
    [InlineData("1000us", 1)]
    [InlineData("2000000ns", 2)]
    [InlineData("-3s", -3000)]
    [InlineData("+3s", 3000)]
    public void What_consul_understands_is_understood(string text, long milliseconds)
    {
        Assert.True(GoDuration.TryParse(text, out var duration));
        Assert.Equal(TimeSpan.FromMilliseconds(milliseconds), duration);
    }

    [Theory]
    [InlineData("")]
    [InlineData("10")]
    [InlineData("s")]
    [InlineData("1x")]
    [InlineData("1 s")]
    [InlineData("1s2")]
    [InlineData("..s")]
    [InlineData("1.2.3s")]
    [InlineData("99999999999999999999999999999h")]
    [InlineData("9999999999h")]
    [InlineData("-")]
    public void What_it_does_not_is_not(string text) => Assert.False(GoDuration.TryParse(text, out _));

    [Theory]
    [InlineData(0, "0s")]
    [InlineData(90_000, "1m30s")]
    [InlineData(1_500, "1.5s")]
    [InlineData(3_600_000, "1h0m0s")]
    [InlineData(86_400_000, "24h0m0s")]
    [InlineData(20, "20ms")]
    public void The_form_is_consuls(long milliseconds, string text) => Assert.Equal(text, GoDuration.Format(TimeSpan.FromMilliseconds(milliseconds)));

    [Fact]
    public void What_is_written_reads_back() => Prop.ForAll(
        Gen.Choose(int.MinValue, int.MaxValue).Select(ticks => new TimeSpan(ticks * 977L)).ToArbitrary(),
        time => GoDuration.TryParse(GoDuration.Format(time), out var back) && back == time).QuickCheckThrowOnFailure();
}
