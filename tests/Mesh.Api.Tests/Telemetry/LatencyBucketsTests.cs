using Mesh.Api.Telemetry;

namespace Mesh.Api.Tests.Telemetry;

public sealed class LatencyBucketsTests
{
    [Fact]
    public void Bounds_ascend_and_contain_those_of_Istio()
    {
        var bounds = LatencyBuckets.UpperBounds.ToArray();

        Assert.Equal(bounds.Order().Distinct(), bounds);
        double[] istio = [0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000];
        Assert.Empty(istio.Except(bounds));
        Assert.Equal(bounds.Length + 1, LatencyBuckets.Count);
    }

    [Theory]
    [InlineData(0, 0.05)]
    [InlineData(0.05, 0.05)]
    [InlineData(0.051, 0.06)]
    [InlineData(0.3, 0.3)]
    [InlineData(7, 8)]
    [InlineData(1000, 1000)]
    public void Index_is_the_first_bucket_whose_bound_is_not_below(double milliseconds, double bound) =>
        Assert.Equal(bound, LatencyBuckets.UpperBounds[LatencyBuckets.IndexOf(milliseconds)]);

    [Fact]
    public void What_is_above_all_bounds_goes_into_the_last_bucket() =>
        Assert.Equal(LatencyBuckets.Count - 1, LatencyBuckets.IndexOf(1e9));

    [Fact]
    public void Quantiles_interpolate_inside_the_bucket()
    {
        var counts = new ulong[LatencyBuckets.Count];
        counts[LatencyBuckets.IndexOf(10)] = 90; // 8..10 ms
        counts[LatencyBuckets.IndexOf(100)] = 10; // 80..100 ms

        Assert.Equal(8 + (2 * 50 / 90.0), LatencyBuckets.Quantile(counts, 0.5)!.Value, 6);
        Assert.Equal(90, LatencyBuckets.Quantile(counts, 0.95)!.Value, 6);
        Assert.Equal(100, LatencyBuckets.Quantile(counts, 1)!.Value, 6);
    }

    [Fact]
    public void Nothing_counted_has_no_quantile() => Assert.Null(LatencyBuckets.Quantile(new ulong[LatencyBuckets.Count], 0.5));

    [Fact]
    public void Fewer_counts_than_buckets_are_zeros_at_the_end() => Assert.Equal(0.05, LatencyBuckets.Quantile([4], 1));
}
