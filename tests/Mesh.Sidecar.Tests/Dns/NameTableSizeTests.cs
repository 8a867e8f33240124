using Xunit.Abstractions;

namespace Mesh.Sidecar.Tests.Dns;

/// <summary>What a table of many names takes. Alone in the process: it looks at all memory there is.</summary>
[Collection("alone")]
public sealed class NameTableSizeTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(5_000, 10, 500)] // tables at once: what else the process does is noise
    [InlineData(100_000, 1, 10 * 1024)]
    public void ATableIsSmallAndFast(int services, int copies, int mostKiB)
    {
        var proto = new Mesh.Api.V1.NameTable { ClusterDomain = "cluster.local" };
        for (var i = 0; i < services; i++) proto.Services.Add(Given.Service($"service-of-some-length-{i}", $"team-{i % 50}", i % 50 == 1, $"240.{i / 65536}.{i / 256 % 256}.{i % 256}", $"fd6d:6573:6800::{i >> 16:x}:{i & 65535:x}"));
        Given.Read(proto); // types loaded
        var before = Settled();
        var tables = Enumerable.Range(0, copies).Select(_ => Given.Read(proto)).ToArray();
        var kept = (Settled() - before) / copies / 1024;
        Assert.True(kept < mostKiB, $"{kept} KiB");
        Assert.Equal(services, tables[0].Services);

        var snapshots = Given.With(proto);
        var responder = Given.Responder(snapshots);
        var (query, answer) = (Messages.Query("service-of-some-length-4321.team-21.svc.cluster.local"), new byte[512]);
        for (var i = 0; i < 1000; i++) responder.Answer(query, answer, false, Given.Client, out _);
        var (allocated, start) = (GC.GetAllocatedBytesForCurrentThread(), System.Diagnostics.Stopwatch.GetTimestamp());
        const int Times = 20000;
        for (var i = 0; i < Times; i++) responder.Answer(query, answer, false, Given.Client, out _);
        var taken = System.Diagnostics.Stopwatch.GetElapsedTime(start);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - allocated);
        var (owner, reverse) = (new byte[255], System.Diagnostics.Stopwatch.GetTimestamp());
        Assert.NotEqual(0, tables[0].NameOf(System.Net.IPAddress.Parse($"fd6d:6573:6800::{(services - 1) >> 16:x}:{(services - 1) & 65535:x}").GetAddressBytes(), owner));
        output.WriteLine($"names: {kept} KiB for {services} services; {taken.TotalMicroseconds / Times:0.00} us an answer, {System.Diagnostics.Stopwatch.GetElapsedTime(reverse).TotalMicroseconds:0} us whose the last address is");
        GC.KeepAlive(tables);
    }

    private static long Settled()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return GC.GetTotalMemory(forceFullCollection: true);
    }
}
