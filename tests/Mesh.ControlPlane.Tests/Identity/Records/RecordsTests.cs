using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Identity.Issuing;
using Mesh.ControlPlane.Identity.Joining;
using Mesh.ControlPlane.Identity.Records;
using Mesh.ControlPlane.Identity.Stores;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Identity.Records;

/// <summary>What identity remembers: used tokens, grants, revocations, holders.</summary>
public sealed class RecordsTests : IDisposable
{
    private static readonly CancellationToken None = CancellationToken.None;
    private static readonly SpiffeId Cart = SpiffeId.Parse("spiffe://cluster.local/ns/shop/sa/cart");
    private static readonly string Root = new('a', 64);
    private readonly TemporaryFolder folder = new();
    private readonly ManualTimeProvider time = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task A_used_token_is_remembered_until_nobody_could_use_it()
    {
        var store = Store();
        var tokens = await JoinTokens.OpenAsync(store, Grants(store), time, None);
        var token = tokens.Create(Cart, [], [], TimeSpan.FromMinutes(10), Root);
        Assert.NotNull((await tokens.ConsumeAsync(token.Text, "one", None)).Token);
        time.Advance(TimeSpan.FromMinutes(9));
        await tokens.SweepAsync(None);
        Assert.Contains("used already", (await tokens.ConsumeAsync(token.Text, "other", None)).Problem);
        time.Advance(TimeSpan.FromMinutes(1));
        Assert.Contains("ended at", (await tokens.ConsumeAsync(token.Text, "one", None)).Problem);
        time.Advance(TimeSpan.FromMinutes(61));
        await tokens.SweepAsync(None);
        Assert.Empty(await store.ReadAllAsync("consumed", None));
    }

    [Fact]
    public async Task Whoever_lost_the_answer_asks_again_with_his_key_and_nobody_else()
    {
        var store = Store();
        var tokens = await JoinTokens.OpenAsync(store, Grants(store), time, None);
        var token = tokens.Create(Cart, ["cart"], [], TimeSpan.FromMinutes(10), Root);
        Assert.NotNull((await tokens.ConsumeAsync(token.Text, "one", None)).Token);
        Assert.NotNull((await tokens.ConsumeAsync(token.Text, "one", None)).Token);
        Assert.Null((await tokens.ConsumeAsync(token.Text, "other", None)).Token);
    }

    [Fact]
    public async Task A_token_of_another_mesh_is_refused()
    {
        var store = Store();
        var tokens = await JoinTokens.OpenAsync(store, Grants(store), time, None);
        var foreign = JoinToken.Create(Cart, [], [], time.GetUtcNow().AddMinutes(5), Root, RandomNumberGenerator.GetBytes(32));
        Assert.Contains("not signed", (await tokens.ConsumeAsync(foreign.Text, "one", None)).Problem);
        Assert.Empty(await store.ReadAllAsync("consumed", None));
    }

    [Fact]
    public async Task Grants_of_all_tokens_add_up_from_any_number_at_once()
    {
        var store = Store();
        var grants = Grants(store);
        var other = Grants(Store());
        await Task.WhenAll(Enumerable.Range(0, 20).Select(i => (i % 2 == 0 ? grants : other).AddAsync(Cart, [$"service-{i:00}"], [$"10.0.0.{i}"], None)));
        await grants.LoadAsync(None);
        var grant = Assert.Single(grants.Current);
        Assert.Equal(Cart.ToString(), grant.Identity);
        Assert.Equal(Enumerable.Range(0, 20).Select(i => $"shop/service-{i:00}"), grant.Serves.Select(service => service.ToString()));
        Assert.Equal(20, grant.Addresses.Length);
    }

    [Fact]
    public async Task A_record_that_cannot_be_read_is_an_error_at_the_start()
    {
        var store = Store();
        var revocations = new Revocations(store, time, Log.Silent);
        await store.CreateAsync("revocations/broken", "{\"identity\":1}"u8.ToArray(), None);
        var e = await Assert.ThrowsAsync<StoreException>(() => revocations.LoadAsync(None));
        Assert.Contains("revocations/broken", e.Message);
    }

    [Theory]
    [InlineData("garbage")]
    [InlineData("readable by others")]
    public async Task A_record_that_breaks_later_keeps_nobody_from_revoking_and_what_was_known_stays(string how)
    {
        var store = Store();
        using var lines = new LogLines();
        var revocations = new Revocations(store, time, Log.To(lines, Level.Debug, time));
        await revocations.AddAsync(Cart, "stolen", "admin", None);
        var broken = (await store.ReadAllAsync("revocations", None)).Single();
        if (how == "garbage") await store.ReplaceAsync(broken, "{\"identity\":1}"u8.ToArray(), None);
        else File.SetUnixFileMode(folder["identity/" + broken.Name], UnixFileMode.UserRead | UnixFileMode.OtherRead);
        var web = SpiffeId.Parse("spiffe://cluster.local/ns/shop/sa/web");
        await revocations.AddAsync(web, "stolen, too", "admin", None);
        Assert.True(revocations.Contains(web));
        Assert.True(revocations.Contains(Cart));
        Assert.True(lines.Has(broken.Name));
    }

    [Fact]
    public async Task The_newest_certificate_of_each_holder_is_kept_and_left_ones_are_not()
    {
        var store = Store();
        var holders = new Holders(store, time, Log.Silent);
        using var stop = new CancellationTokenSource();
        var running = holders.RunAsync(stop.Token);
        var authority = new CertificateAuthority("cluster.local", new Lifetimes(), time);
        using var ours = await MeshAuthority.OpenAsync(authority, store, time, Log.Silent, None);
        var (one, other) = (Holder.New(), Holder.New());
        Issue(authority, holders, one);
        Issue(authority, holders, one);
        var newest = Issue(authority, holders, one);
        Issue(authority, holders, other);
        Assert.Equal(2, (await holders.ReadAsync(None)).Count);
        var another = new Holders(store, time, Log.Silent);
        await Eventually.HoldsAsync(async () => (await another.ReadAsync(None)).Any(r => r.Serial == newest), "another control plane reads it");
        holders.Forget(other.Id);
        Assert.Equal(one.Id, Assert.Single(await holders.ReadAsync(None)).Holder);
        await Eventually.HoldsAsync(async () => (await store.ReadAllAsync("issued", None)).Count == 1, "forgotten in the store");
        time.Advance(TimeSpan.FromHours(25));
        Assert.Empty(await holders.ReadAsync(None));
        await holders.SweepAsync(None);
        Assert.Empty(await store.ReadAllAsync("issued", None));
        await stop.CancelAsync();
        await running;
    }

    /// <summary>Whoever waits for all holders (a change of roots) must not overlook one that is being written just then.</summary>
    [Fact]
    public async Task What_is_written_while_the_store_is_read_is_not_missed()
    {
        var store = new WatchedStore(Store());
        var holders = new Holders(store, time, Log.Silent);
        var authority = new CertificateAuthority("cluster.local", new Lifetimes(), time);
        using var ours = await MeshAuthority.OpenAsync(authority, store, time, Log.Silent, None);
        // Told to stop, it writes what waits and returns.
        store.AfterReadingAll = () => holders.RunAsync(new CancellationToken(true));
        var one = Holder.New();
        Issue(authority, holders, one);
        Assert.Equal(one.Id, Assert.Single(await holders.ReadAsync(None)).Holder);
        var newest = Issue(authority, holders, one);
        Assert.Equal(newest, Assert.Single(await holders.ReadAsync(None)).Serial);
        holders.Forget(one.Id);
        Assert.Empty(await holders.ReadAsync(None));
        Assert.Empty(await store.ReadAllAsync("issued", None));
    }

    private static string Issue(CertificateAuthority authority, Holders holders, Holder holder)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var issued = authority.Issue(Cart, new PublicKey(key), holder);
        holders.Note(issued, new Credential(Cart, "token", holder), "127.0.0.1:1");
        return issued.Leaf.SerialNumber.ToLowerInvariant();
    }

    // Whoever waits for the store's lock waits in real time.
    private FolderStore Store() => new(folder["identity"], TimeProvider.System);

    private Grants Grants(IAuthorityStore store) => new(store, time, Log.Silent);

    /// <summary>A store where something happens between the reading of all entries and the answer.</summary>
    private sealed class WatchedStore(IAuthorityStore inner) : IAuthorityStore
    {
        public Func<Task> AfterReadingAll { get; set; } = () => Task.CompletedTask;

        public string Place => inner.Place;

        public Task<StoredEntry?> ReadAsync(string name, CancellationToken stop) => inner.ReadAsync(name, stop);

        public async Task<IReadOnlyList<StoredEntry>> ReadAllAsync(string folder, Action<string, StoreException> unreadable, CancellationToken stop)
        {
            var all = await inner.ReadAllAsync(folder, unreadable, stop);
            await AfterReadingAll();
            return all;
        }

        public Task<bool> CreateAsync(string name, ReadOnlyMemory<byte> content, CancellationToken stop) => inner.CreateAsync(name, content, stop);

        public Task<bool> ReplaceAsync(StoredEntry seen, ReadOnlyMemory<byte> content, CancellationToken stop) => inner.ReplaceAsync(seen, content, stop);

        public Task<bool> DeleteAsync(string name, CancellationToken stop) => inner.DeleteAsync(name, stop);

        public Task<string> WaitAsync(string folder, string? mark, CancellationToken stop) => inner.WaitAsync(folder, mark, stop);
    }
}
