using Mesh.ControlPlane.Identity.Stores;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Identity.Stores;

public sealed class SealTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")]
    [InlineData("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")]
    [InlineData("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n")]
    [InlineData("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F")]
    public void A_key_is_base64_or_hex(string text)
    {
        using var seal = Seal.FromFile(Write(text));
        using var same = new Seal([.. Enumerable.Range(0, 32).Select(i => (byte)i)]);
        Assert.True(same.TryOpen("a", seal.Close("a", "content"u8), out var content));
        Assert.Equal("content"u8.ToArray(), content);
        Assert.False(same.TryOpen("b", seal.Close("a", "content"u8), out _));
    }

    [Theory]
    [InlineData("")]
    [InlineData("secret")]
    [InlineData("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==")]
    [InlineData("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1")]
    [InlineData("zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")]
    public void What_is_no_key_is_told_with_how_to_make_one(string text)
    {
        var e = Assert.Throws<StoreException>(() => Seal.FromFile(Write(text)));
        Assert.Contains("openssl rand -base64 32", e.Message);
        if (text.Length > 0) Assert.DoesNotContain(text, e.Message);
    }

    [Fact]
    public void A_key_others_can_read_is_refused()
    {
        var path = Write("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.OtherRead);
        Assert.Contains("chmod 600", Assert.Throws<StoreException>(() => Seal.FromFile(path)).Message);
    }

    private string Write(string text)
    {
        File.WriteAllText(folder["key"], text);
        File.SetUnixFileMode(folder["key"], UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return folder["key"];
    }
}
