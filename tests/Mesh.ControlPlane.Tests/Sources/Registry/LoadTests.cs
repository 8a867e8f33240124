using System.Diagnostics;
using Xunit.Abstractions;

namespace Mesh.ControlPlane.Tests.Sources.Registry;

/// <summary>1,000 services of 10 instances and many who wait: bounds far above what is measured, so that only a wrong order of growth fails.</summary>
[Collection("alone")]
public sealed class LoadTests(ITestOutputHelper output) : IDisposable
{
    private const int Services = 1000;
    private const int Instances = 10;
    private const int Watches = 600;
    private readonly string folder = Directory.CreateTempSubdirectory("mesh-registry-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Many_services_and_many_blocking_queries_stay_cheap()
    {
        await using var registry = await StartedRegistry.StartAsync(folder);
        await MeasureAsync("register 10,000 instances by txn", () => RegisterAllAsync(registry));
        // A key is answered once all before it is on disk: what is measured from here on is not the writing.
        await MeasureAsync("write the file", () => registry.DoAsync("PUT", "/v1/kv/last", "x"));
        var index = await registry.IndexAsync("/v1/catalog/services");

        var threads = ThreadPool.ThreadCount;
        var waiting = Enumerable.Range(0, Watches).Select(i => registry.SendAsync("GET", $"/v1/health/service/s{i}?index={index}&wait=60s")).ToArray();
        await Task.Delay(TimeSpan.FromSeconds(1));
        var cpu = Environment.CpuUsage.TotalTime;
        await Task.Delay(TimeSpan.FromSeconds(1));
        output.WriteLine($"{Watches} waiting: {(Environment.CpuUsage.TotalTime - cpu).TotalMilliseconds:F0} ms CPU in 1 s, threads {threads} -> {ThreadPool.ThreadCount}");
        Assert.All(waiting, w => Assert.False(w.IsCompleted));
        Assert.True(ThreadPool.ThreadCount < threads + (Watches / 4), "a waiter must not hold a thread");

        await MeasureAsync("a change reaches its one watcher", async () =>
        {
            await registry.DoAsync("PUT", "/v1/catalog/register", Register(7, 3, port: 9999));
            (await waiting[7]).Dispose();
        });
        Assert.Equal(1, waiting.Count(w => w.IsCompleted));
        await MeasureAsync("1,000 changes with everybody waiting", async () =>
        {
            for (var i = 0; i < 1000; i++) await registry.DoAsync("PUT", "/v1/catalog/register", Register(900 + (i % 100), i % 10, port: 10_000 + i));
        });
        var took = await MeasureAsync("100 reads of catalog/services", async () =>
        {
            for (var i = 0; i < 100; i++) await registry.DoAsync("GET", "/v1/catalog/services");
        });
        output.WriteLine($"heap {GC.GetTotalMemory(forceFullCollection: true) / 1048576} MiB, file {new FileInfo(Path.Combine(folder, "registry.json")).Length / 1024} KiB");
        Assert.True(took < TimeSpan.FromSeconds(20), $"100 reads of 1,000 names took {took}");
    }

    private static async Task RegisterAllAsync(StartedRegistry registry)
    {
        for (var service = 0; service < Services; service++)
        {
            var body = string.Join(',', Enumerable.Range(0, Instances).Select(i => Operations($"mesh-{service}-{i}", $"s{service}", $"{service}-{i}")));
            await registry.DoAsync("PUT", "/v1/txn", $"[{body}]");
        }
    }

    private static string Operations(string node, string service, string id) => """
        {"Node":{"Verb":"set","Node":{"Node":"$node","Address":"10.0.0.1"}}},
        {"Service":{"Verb":"set","Node":"$node","Service":{"ID":"$id","Service":"$service","Port":80,"Meta":{"external-source":"mesh","version":"v1"}}}},
        {"Check":{"Verb":"set","Check":{"Node":"$node","CheckID":"c","Name":"c","ServiceID":"$id","Status":"passing"}}}
        """.Replace("$node", node, StringComparison.Ordinal).Replace("$service", service, StringComparison.Ordinal).Replace("$id", id, StringComparison.Ordinal);

    private static string Register(int service, int i, int port) =>
        $$"""{"Node":"mesh-{{service}}-{{i}}","Address":"10.0.0.1","Service":{"ID":"{{service}}-{{i}}","Service":"s{{service}}","Port":{{port}} } }""";

    private async Task<TimeSpan> MeasureAsync(string what, Func<Task> work)
    {
        var cpu = Environment.CpuUsage.TotalTime;
        var watch = Stopwatch.StartNew();
        await work();
        output.WriteLine($"{what}: {watch.Elapsed.TotalMilliseconds:F0} ms, {(Environment.CpuUsage.TotalTime - cpu).TotalMilliseconds:F0} ms CPU");
        return watch.Elapsed;
    }
}

/// <summary>Tests that measure the process run when nothing else does.</summary>
[CollectionDefinition("alone", DisableParallelization = true)]
public sealed class AloneCollection;
