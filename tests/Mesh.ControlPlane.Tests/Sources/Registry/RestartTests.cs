using System.Text.Json;
using Mesh.ControlPlane.Sources.Registry.Persistence;
using Mesh.ControlPlane.Sources.Registry.Store;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Sources.Registry;

/// <summary>What is kept in the data folder, and what is said when it cannot be.</summary>
public sealed class RestartTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("mesh-registry-").FullName;

    private string File => Path.Combine(folder, "registry.json");

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Everything_is_there_again_and_the_index_goes_on()
    {
        string[] paths = ["/v1/catalog/nodes", "/v1/catalog/services", "/v1/health/service/web", "/v1/agent/services", "/v1/agent/checks", "/v1/kv/?recurse", "/v1/session/list"];
        var before = new List<(string Answer, ulong? Index)>();
        await using (var first = await StartedRegistry.StartAsync(folder))
        {
            await first.DoAsync("PUT", "/v1/agent/service/register", """{"Name":"web","Port":80,"Address":"10.1.1.1","Tags":["a"],"Meta":{"k":"v"},"Checks":[{"TTL":"1h"},{"HTTP":"http://127.0.0.1:1","Header":{"A":["b"]},"Interval":"1h"}]}""");
            await first.DoAsync("PUT", "/v1/agent/check/pass/service:web:1?note=well");
            await first.DoAsync("PUT", "/v1/catalog/register", """{"Node":"m","Address":"10.0.0.1","NodeMeta":{"a":"b"},"Service":{"Service":"web"},"Check":{"Name":"c","Status":"passing"}}""");
            var session = JsonDocument.Parse(await first.DoAsync("PUT", "/v1/session/create", """{"TTL":"1h"}""")).RootElement.GetProperty("ID").GetString();
            await first.DoAsync("PUT", $"/v1/kv/lock?acquire={session}&flags=7", "me");
            await first.DoAsync("PUT", "/v1/kv/b/c", "x");
            await first.DoAsync("DELETE", "/v1/kv/b/c");
            // The first try of the HTTP check is the last change.
            while (!(await first.DoAsync("GET", "/v1/agent/checks")).Contains("refused", StringComparison.Ordinal)) await Task.Delay(TimeSpan.FromMilliseconds(20));
            foreach (var path in paths) before.Add(await ReadAsync(first, path));
        }

        await using var second = await StartedRegistry.StartAsync(folder);
        for (var i = 0; i < paths.Length; i++) Assert.Equal(before[i], await ReadAsync(second, paths[i]));
        var last = await second.IndexAsync("/v1/kv/lock");
        await second.DoAsync("PUT", "/v1/kv/new", "x");
        Assert.True(await second.IndexAsync("/v1/kv/new") > last);
    }

    [Theory]
    [InlineData("""{"TTL":"2000h"}""")]
    [InlineData("""{"TCP":"127.0.0.1:1","Interval":"2000h"}""")]
    [InlineData("""{"TCP":"127.0.0.1:1","Interval":"1s","Timeout":"2000h"}""")]
    [InlineData("""{"TCP":"127.0.0.1:99999","Interval":"1s"}""")]
    [InlineData("""{"HTTP":"http://127.0.0.1:1/","Interval":"1s","Header":{"X":null}}""")]
    public async Task A_check_that_no_timer_or_socket_takes_keeps_the_registry_neither_from_ending_nor_from_starting(string check)
    {
        await using (var first = await StartedRegistry.StartAsync(folder))
        {
            await first.DoAsync("PUT", "/v1/agent/service/register", $$"""{"Name":"web","Port":80,"Check":{{check}}}""");
            await first.DoAsync("PUT", "/v1/kv/saved", "x");
            // Long enough for the first try, which comes within a second.
            if (!check.Contains("TTL", StringComparison.Ordinal))
                await Eventually.HoldsAsync(async () => (await first.GetAsync("/v1/agent/checks")).GetProperty("service:web").GetProperty("Output").GetString()!.Length > 0, "the first try");
        }

        await using var second = await StartedRegistry.StartAsync(folder);
        Assert.Contains("service:web", await second.DoAsync("GET", "/v1/agent/checks"));
    }

    [Fact]
    public async Task A_key_is_on_disk_before_its_write_is_answered_and_only_the_owner_can_read_it()
    {
        await using var registry = await StartedRegistry.StartAsync(folder);
        for (var i = 0; i < 5; i++)
        {
            await registry.DoAsync("PUT", $"/v1/kv/key{i}", "x");
            Assert.NotNull(new RegistryFile(folder).Load()!.Kv.Find($"key{i}"));
        }

        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, System.IO.File.GetUnixFileMode(File));
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("""{"format":1}""")]
    [InlineData("""{"format":2,"index":1,"agentNode":"n","indexes":{},"nodes":[],"serviceIndexes":{},"keys":[],"deletedKeys":{},"sessions":[],"agentServices":[],"agentChecks":[]}""")]
    [InlineData("""{"format":1,"index":1,"agentNode":"n","indexes":null,"nodes":null,"serviceIndexes":{},"keys":[],"deletedKeys":{},"sessions":[],"agentServices":[],"agentChecks":[]}""")]
    public async Task A_file_that_is_no_registry_is_an_error_that_names_it_and_stays_as_it_is(string content)
    {
        await System.IO.File.WriteAllTextAsync(File, content);
        var wrong = await Assert.ThrowsAsync<RegistryDataException>(() => StartedRegistry.StartAsync(folder));
        Assert.Contains(File, wrong.Message);
        Assert.Contains("move it away", wrong.Message);
        Assert.Equal(content, await System.IO.File.ReadAllTextAsync(File));
    }

    [Fact]
    public async Task A_file_cut_anywhere_is_never_taken_for_whole()
    {
        await using (var registry = await StartedRegistry.StartAsync(folder)) await registry.DoAsync("PUT", "/v1/kv/a", "x");
        var whole = await System.IO.File.ReadAllBytesAsync(File);
        for (var length = 0; length < whole.Length; length += 7)
        {
            await System.IO.File.WriteAllBytesAsync(File, whole[..length]);
            Assert.Throws<RegistryDataException>(() => new RegistryFile(folder).Load());
        }
    }

    [Fact]
    public async Task When_the_disk_refuses_a_key_is_not_called_written()
    {
        await using var registry = await StartedRegistry.StartAsync(folder);
        await registry.DoAsync("PUT", "/v1/kv/a", "x");
        // A folder where the new file should go: as good as a full disk, also for root.
        Directory.CreateDirectory(File + ".new");
        using var answer = await registry.SendAsync("PUT", "/v1/kv/b", "x");
        Assert.Equal(System.Net.HttpStatusCode.InternalServerError, answer.StatusCode);
        Assert.Contains(File, await answer.Content.ReadAsStringAsync());
        Directory.Delete(File + ".new");
        await registry.DoAsync("PUT", "/v1/kv/c", "x");
        Assert.NotNull(new RegistryFile(folder).Load()!.Kv.Find("c"));
    }

    [Fact]
    public async Task Ttl_checks_and_sessions_have_their_full_time_again()
    {
        var time = new ManualTimeProvider();
        string? session;
        await using (var first = await StartedRegistry.StartAsync(folder, time))
        {
            await first.DoAsync("PUT", "/v1/agent/service/register", """{"Name":"web","Check":{"TTL":"60s","Status":"passing"}}""");
            session = JsonDocument.Parse(await SavedAsync(time, first.DoAsync("PUT", "/v1/session/create", """{"TTL":"60s"}"""))).RootElement.GetProperty("ID").GetString();
            time.Advance(TimeSpan.FromSeconds(50));
        }

        await using var second = await StartedRegistry.StartAsync(folder, time);
        time.Advance(TimeSpan.FromSeconds(50));
        Assert.Equal(CheckStatus.Passing, await StatusAsync(second));
        await second.DoAsync("PUT", $"/v1/session/renew/{session}");
        time.Advance(TimeSpan.FromSeconds(20));
        Assert.Equal(CheckStatus.Critical, await StatusAsync(second));
        Assert.Equal(1, (await second.GetAsync("/v1/session/list")).GetArrayLength());
        time.Advance(TimeSpan.FromSeconds(50));
        Assert.Equal(0, (await second.GetAsync("/v1/session/list")).GetArrayLength());
    }

    /// <summary>A write waits for the saver, whose pauses are on the test's clock.</summary>
    private static async Task<string> SavedAsync(ManualTimeProvider time, Task<string> write)
    {
        while (!write.IsCompleted)
        {
            time.Advance(TimeSpan.FromMilliseconds(1));
            await Task.WhenAny(write, Task.Delay(TimeSpan.FromMilliseconds(5)));
        }

        return await write;
    }

    private static async Task<string?> StatusAsync(StartedRegistry registry) =>
        (await registry.GetAsync("/v1/health/checks/web"))[0].GetProperty("Status").GetString();

    private static async Task<(string Answer, ulong? Index)> ReadAsync(StartedRegistry registry, string path)
    {
        using var answer = await registry.SendAsync("GET", path);
        var index = answer.Headers.TryGetValues("X-Consul-Index", out var values) ? ulong.Parse(values.Single()) : (ulong?)null;
        return (await answer.Content.ReadAsStringAsync(), index);
    }
}
