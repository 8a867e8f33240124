using System.Text;
using Mesh.ControlPlane.Identity.Stores;

namespace Mesh.ControlPlane.Tests.Identity.Stores;

/// <summary>What every <see cref="IAuthorityStore"/> does, whatever is behind it. Two stores of the same place stand for two control planes.</summary>
public abstract class AuthorityStoreContract
{
    private static readonly CancellationToken None = CancellationToken.None;

    [SkippableFact]
    public async Task What_was_created_is_read_by_all()
    {
        var (one, other) = await OpenTwoAsync();
        Assert.Null(await one.ReadAsync("ca/authority", None));
        Assert.True(await one.CreateAsync("ca/authority", Bytes("first"), None));
        var read = await other.ReadAsync("ca/authority", None);
        Assert.Equal("ca/authority", read!.Name);
        Assert.Equal("first", Text(read));
    }

    [SkippableFact]
    public async Task An_entry_is_created_once()
    {
        var (one, other) = await OpenTwoAsync();
        Assert.True(await one.CreateAsync("token-key", Bytes("first"), None));
        Assert.False(await other.CreateAsync("token-key", Bytes("second"), None));
        Assert.False(await one.CreateAsync("token-key", Bytes("third"), None));
        Assert.Equal("first", Text(await one.ReadAsync("token-key", None)));
    }

    [SkippableFact]
    public async Task Of_a_hundred_that_create_at_once_one_succeeds_and_its_content_stays()
    {
        var (one, other) = await OpenTwoAsync();
        using var start = new ManualResetEventSlim();
        var attempts = Enumerable.Range(0, 100).Select(i => Task.Run(async () =>
        {
            start.Wait();
            return await (i % 2 == 0 ? one : other).CreateAsync("consumed/a", Bytes($"{i}"), None) ? i : -1;
        })).ToArray();
        start.Set();
        var winner = Assert.Single(await Task.WhenAll(attempts), i => i >= 0);
        Assert.Equal($"{winner}", Text(await one.ReadAsync("consumed/a", None)));
    }

    [SkippableFact]
    public async Task A_replacement_needs_what_was_seen()
    {
        var (one, other) = await OpenTwoAsync();
        await one.CreateAsync("ca/authority", Bytes("1"), None);
        var seen = (await one.ReadAsync("ca/authority", None))!;
        Assert.True(await other.ReplaceAsync(seen, Bytes("2"), None));
        Assert.False(await one.ReplaceAsync(seen, Bytes("3"), None));
        Assert.Equal("2", Text(await one.ReadAsync("ca/authority", None)));
        Assert.True(await one.ReplaceAsync((await one.ReadAsync("ca/authority", None))!, Bytes("4"), None));
        await one.DeleteAsync("ca/authority", None);
        Assert.False(await one.ReplaceAsync(seen, Bytes("5"), None));
        Assert.Null(await one.ReadAsync("ca/authority", None));
    }

    [SkippableFact]
    public async Task Replacements_at_once_lose_nothing()
    {
        var (one, other) = await OpenTwoAsync();
        await one.CreateAsync("count", Bytes("0"), None);
        await Task.WhenAll(Enumerable.Range(0, 20).Select(i => Task.Run(async () =>
        {
            var store = i % 2 == 0 ? one : other;
            while (true)
            {
                var seen = (await store.ReadAsync("count", None))!;
                if (await store.ReplaceAsync(seen, Bytes($"{int.Parse(Text(seen)) + 1}"), None)) return;
            }
        })));
        Assert.Equal("20", Text(await one.ReadAsync("count", None)));
    }

    [SkippableFact]
    public async Task Deleting_tells_whether_there_was_one()
    {
        var (one, other) = await OpenTwoAsync();
        await one.CreateAsync("revocations/x", Bytes("x"), None);
        Assert.True(await other.DeleteAsync("revocations/x", None));
        Assert.False(await one.DeleteAsync("revocations/x", None));
        Assert.Null(await one.ReadAsync("revocations/x", None));
        Assert.True(await one.CreateAsync("revocations/x", Bytes("again"), None));
    }

    [SkippableFact]
    public async Task A_folder_lists_what_is_below_it_and_nothing_else()
    {
        var (one, other) = await OpenTwoAsync();
        foreach (var name in (string[])["grants/shop/cart", "grants/shop/web", "grants/a/b", "grants-else/x", "ca/authority"])
            await one.CreateAsync(name, Bytes(name), None);
        var all = await other.ReadAllAsync("grants", None);
        Assert.Equal(["grants/a/b", "grants/shop/cart", "grants/shop/web"], all.Select(e => e.Name));
        Assert.All(all, e => Assert.Equal(e.Name, Text(e)));
        Assert.Equal(["grants/shop/cart", "grants/shop/web"], (await other.ReadAllAsync("grants/shop", None)).Select(e => e.Name));
        Assert.Empty(await other.ReadAllAsync("nothing", None));
        Assert.True(await one.ReplaceAsync(all[0], Bytes("new"), None));
    }

    [SkippableFact]
    public async Task A_wait_ends_with_each_kind_of_change()
    {
        var (one, other) = await OpenTwoAsync();
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        var mark = await one.WaitAsync("revocations", null, limit.Token);
        foreach (var change in (Func<Task>[])
        [
            () => other.CreateAsync("revocations/x", Bytes("one"), None),
            async () => await other.ReplaceAsync((await other.ReadAsync("revocations/x", None))!, Bytes("other"), None),
            () => other.DeleteAsync("revocations/x", None),
        ])
        {
            mark = await SettledAsync(one, mark, limit.Token);
            var wait = one.WaitAsync("revocations", mark, limit.Token);
            await change();
            Assert.NotEqual(mark, mark = await wait);
        }
    }

    [SkippableFact]
    public async Task Contents_of_any_bytes_come_back_as_they_were()
    {
        var (one, other) = await OpenTwoAsync();
        var bytes = new byte[300_000];
        new Random(1).NextBytes(bytes);
        await one.CreateAsync("ca/big", bytes, None);
        await one.CreateAsync("ca/empty", ReadOnlyMemory<byte>.Empty, None);
        Assert.Equal(bytes, (await other.ReadAsync("ca/big", None))!.Content.ToArray());
        Assert.Empty((await other.ReadAsync("ca/empty", None))!.Content.ToArray());
    }

    [SkippableTheory]
    [InlineData("")]
    [InlineData("/etc/passwd")]
    [InlineData("../token")]
    [InlineData("grants/../ca")]
    [InlineData("grants//x")]
    [InlineData("grants/x/")]
    [InlineData("grants/x?raw")]
    [InlineData("grants/x%2fy")]
    [InlineData("grants/x.new")]
    [InlineData("grants/\0")]
    public async Task Names_that_could_lead_elsewhere_are_none(string name)
    {
        var (one, _) = await OpenTwoAsync();
        await Assert.ThrowsAsync<ArgumentException>(() => one.CreateAsync(name, Bytes("x"), None));
        await Assert.ThrowsAsync<ArgumentException>(() => one.ReadAsync(name, None));
    }

    /// <summary>Two stores of one new place.</summary>
    private protected abstract Task<(IAuthorityStore One, IAuthorityStore Other)> OpenTwoAsync();

    private protected static ReadOnlyMemory<byte> Bytes(string text) => Encoding.UTF8.GetBytes(text);

    private protected static string Text(StoredEntry? entry) => Encoding.UTF8.GetString(entry!.Content.Span);

    // A return is no proof of a change: waits until the mark repeats before the test acts.
    private static async Task<string> SettledAsync(IAuthorityStore store, string mark, CancellationToken stop)
    {
        for (var i = 0; i < 3; i++)
        {
            var next = store.WaitAsync("revocations", mark, stop);
            if (await Task.WhenAny(next, Task.Delay(100, stop)) != next) break;
            mark = await next;
        }

        return mark;
    }
}
