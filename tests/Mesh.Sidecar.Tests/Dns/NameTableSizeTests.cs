using Xunit.Abstractions;

namespace Mesh.Sidecar.Tests.Dns;

/// <summary>What a table of many names takes. Alone in the process: it looks at all memory there is.</summary>
[Collection("alone")]
public sealed class NameTableSizeTests(ITestOutputHelper output)
{
    [Fact]
    public void FiveThousandServicesAreSmallAndFast()
    {
        var proto = new Mesh.Api.V1.NameTable { ClusterDomain = "cluster.local" };
        for (var i = 0; i < 5000; i++) proto.Services.Add(Given.Service($"service-of-some-length-{i}", $"team-{i % 50}", i % 50 == 1, $"240.0.{i / 250}.{i % 250}", $"fd6d:6573:6800::{i:x}"));
        Given.Read(proto); // types loaded
        const int Tables = 10; // what else the process does is noise
        var before = Settled();
        var tables = Enumerable.Range(0, Tables).Select(_ => Given.Read(proto)).ToArray();
        var kept = (Settled() - before) / Tables;
        Assert.True(kept < 700 * 1024, $"{kept / 1024} KiB");
        Assert.Equal(5000, tables[0].Services);

        var snapshots = Given.With(proto);
        var responder = Given.Responder(snapshots);
        var (query, answer) = (Messages.Query("service-of-some-length-4321.team-21.svc.cluster.local"), new byte[512]);
        for (var i = 0; i < 1000; i++) responder.Answer(query, answer, false, Given.Client, out _);
        var (allocated, start) = (GC.GetAllocatedBytesForCurrentThread(), System.Diagnostics.Stopwatch.GetTimestamp());
        const int Times = 20000;
        for (var i = 0; i < Times; i++) responder.Answer(query, answer, false, Given.Client, out _);
        var taken = System.Diagnostics.Stopwatch.GetElapsedTime(start);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - allocated);
        output.WriteLine($"names: {kept / 1024} KiB for 5,000 services; {taken.TotalMicroseconds / Times:0.00} us an answer");
        GC.KeepAlive(tables);
    }

    private static long Settled()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return GC.GetTotalMemory(forceFullCollection: true);
    }
}
