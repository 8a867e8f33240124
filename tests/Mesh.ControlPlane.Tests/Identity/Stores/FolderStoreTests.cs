using Mesh.ControlPlane.Identity.Stores;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Identity.Stores;

/// <summary>The contract over a folder, and what is special about files: modes, drafts, disks.</summary>
public sealed class FolderStoreTests : AuthorityStoreContract, IDisposable
{
    private static readonly CancellationToken None = CancellationToken.None;
    private readonly TemporaryFolder temporary = new();

    private string Folder => temporary["identity"];

    public void Dispose() => temporary.Dispose();

    [Fact]
    public async Task Files_are_their_owners_alone()
    {
        var store = Open();
        await store.CreateAsync("grants/shop/cart", Bytes("x"), None);
        await store.ReplaceAsync((await store.ReadAsync("grants/shop/cart", None))!, Bytes("y"), None);
        Assert.All(Directory.EnumerateFiles(Folder, "*", SearchOption.AllDirectories), f => Assert.Equal("600", Mode(f)));
        Assert.All([Folder, .. Directory.EnumerateDirectories(Folder, "*", SearchOption.AllDirectories)], f => Assert.Equal("700", Mode(f)));
    }

    [Fact]
    public async Task A_file_others_can_read_is_refused_with_what_to_do()
    {
        var store = Open();
        await store.CreateAsync("ca/authority", Bytes("key"), None);
        File.SetUnixFileMode(Path.Combine(Folder, "ca/authority"), UnixFileMode.UserRead | UnixFileMode.GroupRead);
        var e = await Assert.ThrowsAsync<StoreException>(() => store.ReadAsync("ca/authority", None));
        Assert.Contains("chmod 600", e.Message);
        Assert.Contains(Path.Combine(Folder, "ca/authority"), e.Message);
        await Assert.ThrowsAsync<StoreException>(() => store.ReadAllAsync("ca", None));
    }

    [Fact]
    public async Task A_folder_others_can_enter_is_refused()
    {
        await Open().CreateAsync("ca/authority", Bytes("key"), None);
        File.SetUnixFileMode(Folder, File.GetUnixFileMode(Folder) | UnixFileMode.OtherExecute);
        Assert.Contains("chmod 700", Assert.Throws<StoreException>(Open).Message);
    }

    [Fact]
    public async Task A_link_is_not_followed()
    {
        var store = Open();
        await store.CreateAsync("ca/authority", Bytes("key"), None);
        File.CreateSymbolicLink(Path.Combine(Folder, "ca/other"), Path.Combine(Folder, "ca/authority"));
        Assert.Contains("symbolic link", (await Assert.ThrowsAsync<StoreException>(() => store.ReadAsync("ca/other", None))).Message);
        Assert.False(await store.CreateAsync("ca/other", Bytes("x"), None));
    }

    [Fact]
    public async Task What_a_cut_off_write_left_is_no_entry_and_is_removed_in_time()
    {
        await Open().CreateAsync("ca/authority", Bytes("key"), None);
        var draft = Path.Combine(Folder, "ca", "authority.0123.new");
        File.WriteAllText(draft, "half");
        Assert.Equal(["ca/authority"], (await Open().ReadAllAsync("ca", None)).Select(e => e.Name));
        Assert.True(File.Exists(draft));
        File.SetLastWriteTimeUtc(draft, DateTime.UnixEpoch);
        Open();
        Assert.False(File.Exists(draft));
    }

    [Fact]
    public void A_file_where_the_folder_should_be_is_an_error()
    {
        File.WriteAllText(Folder, "x");
        Assert.Contains(Folder, Assert.Throws<StoreException>(Open).Message);
    }

    [Fact]
    public async Task What_could_not_be_read_again_is_not_written()
    {
        var (store, most) = (Open(), new byte[FolderStore.MostBytes]);
        await Assert.ThrowsAsync<StoreException>(() => store.CreateAsync("book/large", new byte[most.Length + 1], None));
        Assert.Null(await store.ReadAsync("book/large", None));
        Assert.True(await store.CreateAsync("book/large", most, None));
        var entry = await store.ReadAsync("book/large", None);
        Assert.Equal(most.Length, entry!.Content.Length);
        Assert.Contains("at most", (await Assert.ThrowsAsync<StoreException>(() => store.ReplaceAsync(entry, new byte[most.Length + 1], None))).Message, StringComparison.Ordinal);
        Assert.Equal(entry.Version, (await store.ReadAsync("book/large", None))!.Version);
    }

    [Fact]
    public async Task The_longest_name_of_a_grant_fits()
    {
        var store = Open();
        var name = $"grants/{new string('n', 63)}/{new string('a', 200)}";
        Assert.True(await store.CreateAsync(name, Bytes("x"), None));
        Assert.True(await store.ReplaceAsync((await store.ReadAsync(name, None))!, Bytes("y"), None));
    }

    private protected override Task<(IAuthorityStore One, IAuthorityStore Other)> OpenTwoAsync() => Task.FromResult<(IAuthorityStore, IAuthorityStore)>((Open(), Open()));

    private FolderStore Open() => new(Folder, TimeProvider.System);

    private static string Mode(string path) => Convert.ToString((int)File.GetUnixFileMode(path), 8);
}
