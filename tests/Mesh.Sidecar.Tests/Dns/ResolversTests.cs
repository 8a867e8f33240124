using Mesh.Sidecar.Dns;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Dns;

/// <summary>resolv.conf, as libraries read it.</summary>
public sealed class ResolversTests
{
    [Theory]
    [InlineData("", "127.0.0.1:53", 5, 2, false)]
    [InlineData("nameserver 10.0.0.1\nnameserver fd00::1\n", "10.0.0.1:53 [fd00::1]:53", 5, 2, false)]
    [InlineData("  nameserver\t10.0.0.1 # comment\r\nsearch a b\noptions rotate timeout:2 attempts:4 ndots:5 edns0", "10.0.0.1:53", 2, 4, true)]
    [InlineData("nameserver ::ffff:10.0.0.1", "10.0.0.1:53", 5, 2, false)]
    [InlineData("nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4", "1.1.1.1:53 2.2.2.2:53 3.3.3.3:53", 5, 2, false)]
    [InlineData("nameserver\nnameserver nobody\n#nameserver 9.9.9.9\n;nameserver 9.9.9.9\nnonsense \0\nnameserver 10.0.0.1", "10.0.0.1:53", 5, 2, false)]
    [InlineData("options timeout:0 attempts:99999999999 timeout:x attempts:-1\noptions timeout:77 attempts:9", "127.0.0.1:53", 30, 5, false)]
    public void IsReadAsLibrariesDo(string text, string servers, int timeout, int attempts, bool rotate)
    {
        var read = Resolvers.Parse(text);
        Assert.Equal(servers, string.Join(' ', read.Servers));
        Assert.Equal((timeout, attempts, rotate), ((int)read.Timeout.TotalSeconds, read.Attempts, read.Rotate));
    }

    [Fact]
    public void AFileThatIsGoneLeavesWhatWas()
    {
        using var folder = new TemporaryFolder();
        var time = new ManualTimeProvider();
        var file = new ResolverFile(folder["resolv.conf"], time);
        Assert.Equal(("127.0.0.1:53", true), (string.Join(' ', file.Current.Servers), file.Trouble.Length > 0));
        File.WriteAllText(folder["resolv.conf"], "nameserver 10.0.0.1");
        Assert.Equal("127.0.0.1:53", string.Join(' ', file.Current.Servers)); // not read again so soon
        time.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal(("10.0.0.1:53", ""), (string.Join(' ', file.Current.Servers), file.Trouble));
        File.Delete(folder["resolv.conf"]);
        time.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal("10.0.0.1:53", string.Join(' ', file.Current.Servers));
        Assert.NotEmpty(file.Trouble);
    }
}
