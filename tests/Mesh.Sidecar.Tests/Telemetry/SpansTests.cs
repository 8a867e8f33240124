using System.Diagnostics;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Telemetry;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Telemetry;

/// <summary>Spans and the trace header. A listener sees the spans of the whole process: nothing else runs meanwhile.</summary>
[Collection("alone")]
public class SpansTests
{
    private const string Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    private readonly ManualTimeProvider time = new();

    [Fact]
    public void Without_a_listener_there_is_no_span_and_the_header_passes_unchanged()
    {
        Assert.Null(Spans.Start(Direction.Outbound, "GET", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", null));
        Assert.Equal(Parent, TraceContext.Next(Parent, span: null));
    }

    [Fact]
    public void A_span_joins_the_clients_trace_and_says_what_happened()
    {
        Activity? ended = null;
        using var listener = new ActivityListener
        {
            ShouldListenTo = s => s.Name == Spans.SourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> o) =>
                o.Parent.TraceId.ToHexString() == Parent.Substring(3, 32) ? ActivitySamplingResult.AllDataAndRecorded : ActivitySamplingResult.None,
            ActivityStopped = a => ended = a,
        };
        ActivitySource.AddActivityListener(listener);
        var facts = Samples.Request(time, status: 503);
        facts.Failure = Failure.ConnectFailure;
        facts.FailureDetail = "10.0.0.7:4000 refused the connection";
        facts.Attempts = 3;
        facts.Span = Spans.Start(Direction.Outbound, "GET", Parent, "vendor=1");
        var header = TraceContext.Next(Parent, facts.Span);
        TelemetrySink.Plain(time).Request(facts);
        Assert.NotNull(ended);
        Assert.Null(facts.Span);
        Assert.Null(Activity.Current);
        Assert.StartsWith("00-0af7651916cd43dd8448eb211c80319c-", header, StringComparison.Ordinal);
        Assert.EndsWith("-01", header, StringComparison.Ordinal);
        Assert.Contains(ended.SpanId.ToHexString(), header, StringComparison.Ordinal);
        Assert.Equal("b7ad6b7169203331", ended.ParentSpanId.ToHexString());
        Assert.Equal(ActivityKind.Client, ended.Kind);
        Assert.Equal(ActivityStatusCode.Error, ended.Status);
        Assert.Equal("/items", ended.GetTagItem("url.path"));
        Assert.Equal("id=1", ended.GetTagItem("url.query"));
        Assert.Equal(503, ended.GetTagItem("http.response.status_code"));
        Assert.Equal(2, ended.GetTagItem("http.request.resend_count"));
        Assert.Equal("UF", ended.GetTagItem("mesh.response_flags"));
        Assert.Equal("upstream_connect_failure", ended.GetTagItem("error.type"));
    }

    [Theory]
    [InlineData(Parent, true)]
    [InlineData("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true)]
    [InlineData("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", true)]
    [InlineData("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false)]
    [InlineData("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false)]
    [InlineData("00-00000000000000000000000000000000-b7ad6b7169203331-01", false)]
    [InlineData("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false)]
    [InlineData("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false)]
    [InlineData("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", false)]
    [InlineData("", false)]
    [InlineData(null, false)]
    public void A_bad_trace_header_is_replaced(string? header, bool kept)
    {
        var next = TraceContext.Next(header, span: null);
        Assert.Equal(kept, header == next);
        Assert.True(TraceContext.IsValid(next));
        if (!kept) Assert.EndsWith("-00", next, StringComparison.Ordinal);
    }
}
