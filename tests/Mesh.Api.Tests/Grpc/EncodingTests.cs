using System.Net;
using Mesh.Api.Grpc;

namespace Mesh.Api.Tests.Grpc;

/// <summary>The texts of gRPC's headers: messages, timeouts, statuses.</summary>
public sealed class EncodingTests
{
    [Theory]
    [InlineData("", "")]
    [InlineData("plain text ~!", "plain text ~!")]
    [InlineData("100%", "100%25")]
    [InlineData("a\r\nb\tc\0", "a%0D%0Ab%09c%00")]
    [InlineData("é", "%C3%A9")]
    [InlineData("\U0001F600", "%F0%9F%98%80")]
    [InlineData("\x7f", "%7F")]
    public void Messages_are_percent_encoded_and_come_back(string message, string encoded)
    {
        Assert.Equal(encoded, PercentEncoding.Encode(message));
        Assert.Equal(message, PercentEncoding.Decode(encoded));
    }

    [Theory]
    [InlineData("%", "%")]
    [InlineData("%4", "%4")]
    [InlineData("%zz", "%zz")]
    [InlineData("50% off %41", "50% off A")]
    [InlineData("%c3%a9", "é")]
    [InlineData("%ff", "\ufffd")]
    [InlineData("raw é", "raw é")]
    public void Decoding_lets_pass_what_is_no_escape(string value, string message) => Assert.Equal(message, PercentEncoding.Decode(value));

    [Fact]
    public void Endless_messages_are_cut()
    {
        var encoded = PercentEncoding.Encode(new string('x', 100_000));

        Assert.True(encoded.Length <= 2048);
        Assert.EndsWith("...", encoded, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, "1n")]
    [InlineData(-5, "1n")]
    [InlineData(1, "1u")] // One tick, 100 ns: rounded up.
    [InlineData(10, "1u")]
    [InlineData(10_000_000, "1000000u")]
    [InlineData(999_999_990, "99999999u")]
    [InlineData(999_999_991, "100000m")]
    [InlineData(864_000_000_000L, "86400000m")]
    [InlineData(1_000_000_000_000L, "100000S")]
    [InlineData(long.MaxValue, "2073600S")]
    public void Timeouts_take_the_finest_unit_that_fits(long ticks, string text) => Assert.Equal(text, GrpcTimeout.Format(TimeSpan.FromTicks(ticks)));

    [Theory]
    [InlineData("1H", 36_000_000_000L)]
    [InlineData("2M", 1_200_000_000L)]
    [InlineData("3S", 30_000_000L)]
    [InlineData("4m", 40_000L)]
    [InlineData("5u", 50L)]
    [InlineData("600n", 6L)]
    [InlineData("1n", 1L)]
    [InlineData("0m", 0L)]
    [InlineData("99999999H", 24 * TimeSpan.TicksPerDay)]
    public void Timeouts_are_read_and_capped(string text, long ticks)
    {
        Assert.True(GrpcTimeout.TryParse(text, out var timeout));
        Assert.Equal(ticks, timeout.Ticks);
    }

    [Theory]
    [InlineData("")]
    [InlineData("m")]
    [InlineData("10")]
    [InlineData("10 m")]
    [InlineData("-1m")]
    [InlineData("+1m")]
    [InlineData("1.5S")]
    [InlineData("100000000m")]
    [InlineData("1s")]
    public void What_is_no_timeout_is_not_read(string text) => Assert.False(GrpcTimeout.TryParse(text, out _));

    [Theory]
    [InlineData(400, GrpcStatusCode.Internal)]
    [InlineData(401, GrpcStatusCode.Unauthenticated)]
    [InlineData(403, GrpcStatusCode.PermissionDenied)]
    [InlineData(404, GrpcStatusCode.Unimplemented)]
    [InlineData(429, GrpcStatusCode.Unavailable)]
    [InlineData(502, GrpcStatusCode.Unavailable)]
    [InlineData(503, GrpcStatusCode.Unavailable)]
    [InlineData(504, GrpcStatusCode.Unavailable)]
    [InlineData(200, GrpcStatusCode.Unknown)]
    [InlineData(500, GrpcStatusCode.Unknown)]
    public void Http_statuses_stand_for_codes(int http, GrpcStatusCode code) => Assert.Equal(code, StatusMapping.OfHttpStatus((HttpStatusCode)http));

    [Theory]
    [InlineData("0", GrpcStatusCode.Ok)]
    [InlineData("16", GrpcStatusCode.Unauthenticated)]
    [InlineData("17", GrpcStatusCode.Unknown)]
    [InlineData("-1", GrpcStatusCode.Unknown)]
    [InlineData("", GrpcStatusCode.Unknown)]
    [InlineData("OK", GrpcStatusCode.Unknown)]
    public void Status_headers_are_read(string text, GrpcStatusCode code) => Assert.Equal(code, StatusMapping.OfHeaders(text, null)!.Code);

    [Fact]
    public void No_status_header_is_no_status() => Assert.Null(StatusMapping.OfHeaders(null, "message"));
}
