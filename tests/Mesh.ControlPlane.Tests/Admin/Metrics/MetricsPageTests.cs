using System.Diagnostics;
using System.Diagnostics.Metrics;
using Mesh.ControlPlane.Admin.Metrics;

namespace Mesh.ControlPlane.Tests.Admin.Metrics;

public sealed class MetricsPageTests : IDisposable
{
    private readonly string name = $"test-{Guid.NewGuid()}";
    private readonly Meter meter;
    private readonly MetricsPage page;

    public MetricsPageTests()
    {
        meter = new Meter(name);
        page = new MetricsPage(name);
    }

    public void Dispose()
    {
        page.Dispose();
        meter.Dispose();
    }

    [Fact]
    public void Each_kind_of_instrument_has_its_form()
    {
        var counter = meter.CreateCounter<long>("c_total", description: "Counts.");
        counter.Add(1, new KeyValuePair<string, object?>("type", "CDS"));
        counter.Add(2, new KeyValuePair<string, object?>("type", "CDS"));
        meter.CreateUpDownCounter<int>("u", description: "Up and down.").Add(-2);
        meter.CreateGauge<double>("g", description: "Last.").Record(0.5);
        meter.CreateObservableGauge("o", () => 7, description: "Asked.");
        var histogram = meter.CreateHistogram("h_seconds", null, "Spread.", advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [1, 2] });
        foreach (var value in (double[])[0.5, 1, 1.5, 9]) histogram.Record(value);
        Assert.Equal(
            """
            # HELP c_total Counts.
            # TYPE c_total counter
            c_total{type="CDS"} 3
            # HELP g Last.
            # TYPE g gauge
            g 0.5
            # HELP h_seconds Spread.
            # TYPE h_seconds histogram
            h_seconds_bucket{le="1"} 2
            h_seconds_bucket{le="2"} 3
            h_seconds_bucket{le="+Inf"} 4
            h_seconds_sum 12
            h_seconds_count 4
            # HELP o Asked.
            # TYPE o gauge
            o 7
            # HELP u Up and down.
            # TYPE u gauge
            u -2

            """,
            page.Write());
    }

    [Fact]
    public void Labels_are_escaped_and_other_meters_are_not_shown()
    {
        using var other = new Meter(name + "-other");
        other.CreateCounter<int>("foreign_total").Add(1);
        meter.CreateCounter<int>("c_total").Add(1, new KeyValuePair<string, object?>("l", "a\"b\\c\nd"));
        Assert.EndsWith("c_total{l=\"a\\\"b\\\\c\\nd\"} 1\n", page.Write());
        Assert.DoesNotContain("foreign", page.Write());
    }

    [Fact]
    public void The_number_of_series_is_bounded()
    {
        var counter = meter.CreateCounter<int>("c_total");
        for (var i = 0; i < MetricFamily.MostSeries + 500; i++) counter.Add(1, new KeyValuePair<string, object?>("peer", i));
        var lines = page.Write().Split('\n').Where(l => l.StartsWith("c_total", StringComparison.Ordinal)).ToList();
        Assert.Equal(MetricFamily.MostSeries + 1, lines.Count);
        Assert.Contains("c_total{overflow=\"true\"} 500", lines);
    }

    /// <summary>The program's own page: what Prometheus' linter says of a running control plane.</summary>
    [SkippableFact]
    public async Task Promtool_finds_nothing_to_complain_about()
    {
        await using var program = await ProgramTests.StartAsync();
        using var http = new HttpClient();
        var text = await http.GetStringAsync(new Uri($"http://{program.Addresses["health"]}/metrics"));
        Skip.IfNot(Path.Exists("/usr/bin/promtool"), "no promtool (Debian: prometheus)");
        using var promtool = Process.Start(new ProcessStartInfo("promtool", "check metrics") { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardError = true, RedirectStandardOutput = true })!;
        await promtool.StandardInput.WriteAsync(text);
        promtool.StandardInput.Close();
        var complaints = await promtool.StandardError.ReadToEndAsync() + await promtool.StandardOutput.ReadToEndAsync();
        await promtool.WaitForExitAsync();
        Assert.Equal((0, ""), (promtool.ExitCode, complaints));
    }
}
