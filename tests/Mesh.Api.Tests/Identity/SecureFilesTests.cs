using Mesh.Api.Identity;
using Mesh.Tests;

namespace Mesh.Api.Tests.Identity;

/// <summary>Secrets on disk: whole, private, and refused where they are not.</summary>
public sealed class SecureFilesTests : IDisposable
{
    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void A_secret_is_written_for_its_owner_alone_and_read_back()
    {
        SecureFiles.WriteAtomically(folder["key"], "one"u8);
        SecureFiles.WriteAtomically(folder["key"], "two"u8);
        Assert.Equal(Private, File.GetUnixFileMode(folder["key"]));
        Assert.Equal("two"u8.ToArray(), SecureFiles.ReadSecret(folder["key"]));
        Assert.Equal(["key"], Directory.EnumerateFiles(folder.Path).Select(Path.GetFileName));
    }

    [Fact]
    public void A_loose_file_that_is_replaced_becomes_private()
    {
        File.WriteAllText(folder["key"], "old");
        File.SetUnixFileMode(folder["key"], Private | UnixFileMode.OtherRead);
        SecureFiles.WriteAtomically(folder["key"], "new"u8);
        Assert.Equal(Private, File.GetUnixFileMode(folder["key"]));
    }

    [Theory]
    [InlineData(UnixFileMode.GroupRead)]
    [InlineData(UnixFileMode.OtherRead)]
    [InlineData(UnixFileMode.GroupWrite)]
    [InlineData(UnixFileMode.OtherExecute)]
    public void A_secret_others_may_use_is_refused_with_what_to_do(UnixFileMode loose)
    {
        SecureFiles.WriteAtomically(folder["key"], "x"u8);
        File.SetUnixFileMode(folder["key"], Private | loose);
        Assert.Contains("chmod 600 " + folder["key"], Assert.Throws<IOException>(() => SecureFiles.ReadSecret(folder["key"])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_symbolic_link_is_refused()
    {
        SecureFiles.WriteAtomically(folder["key"], "x"u8);
        File.CreateSymbolicLink(folder["link"], folder["key"]);
        Assert.Contains("symbolic link", Assert.Throws<IOException>(() => SecureFiles.ReadSecret(folder["link"])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_and_a_huge_file_are_refused()
    {
        Assert.Contains("is a folder", Assert.Throws<IOException>(() => SecureFiles.ReadSecret(folder.Path)).Message, StringComparison.Ordinal);
        SecureFiles.WriteAtomically(folder["huge"], new byte[SecureFiles.MaxLength + 1]);
        Assert.Contains("at most", Assert.Throws<IOException>(() => SecureFiles.ReadSecret(folder["huge"])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_secret_is_said_to_be_missing() =>
        Assert.Throws<FileNotFoundException>(() => SecureFiles.ReadSecret(folder["none"]));

    [Fact]
    public void A_folder_is_made_private_and_a_loose_one_refused()
    {
        SecureFiles.EnsureFolder(folder["in/side"]);
        Assert.Equal(Private | UnixFileMode.UserExecute, File.GetUnixFileMode(folder["in/side"]));
        SecureFiles.EnsureFolder(folder["in/side"]);
        File.SetUnixFileMode(folder["in/side"], Private | UnixFileMode.UserExecute | UnixFileMode.GroupRead);
        Assert.Contains("chmod 700", Assert.Throws<IOException>(() => SecureFiles.EnsureFolder(folder["in/side"])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Of_a_hundred_makers_at_once_one_makes_the_file_and_it_is_whole()
    {
        var content = Enumerable.Range(0, 100).Select(i => Enumerable.Repeat((byte)i, 4096).ToArray()).ToArray();
        using var start = new ManualResetEventSlim();
        var makers = content.Select(bytes => Task.Run(() =>
        {
            start.Wait();
            return SecureFiles.CreateNew(folder["once"], bytes);
        })).ToArray();
        start.Set();
        var made = await Task.WhenAll(makers);
        var winner = Assert.Single(Enumerable.Range(0, 100), i => made[i]);
        Assert.Equal(content[winner], SecureFiles.ReadSecret(folder["once"]));
        Assert.Equal(["once"], Directory.EnumerateFiles(folder.Path).Select(Path.GetFileName));
    }

    [Fact]
    public void A_write_that_fails_leaves_the_old_content_and_no_rest()
    {
        SecureFiles.WriteAtomically(folder["key"], "old"u8);
        Directory.CreateDirectory(folder["taken"]);
        Assert.ThrowsAny<IOException>(() => SecureFiles.WriteAtomically(folder["taken"], "new"u8));
        Assert.ThrowsAny<IOException>(() => SecureFiles.WriteAtomically(folder["no/such/folder/key"], "new"u8));
        Assert.Equal(["key", "taken"], Directory.EnumerateFileSystemEntries(folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Equal("old"u8.ToArray(), SecureFiles.ReadSecret(folder["key"]));
    }
}
