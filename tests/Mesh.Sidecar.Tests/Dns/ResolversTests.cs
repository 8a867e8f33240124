using Mesh.Api.Logging;
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

    [Theory]
    [InlineData("gone")]
    [InlineData("empty")]
    [InlineData("nobody")]
    [InlineData("folder")]
    [InlineData("pipe")]
    [InlineData("endless")]
    public async Task WhatIsNoSuchFileLeavesTheServersThatWereAndIsSaidOnce(string what)
    {
        using var folder = new TemporaryFolder();
        var (time, lines, path) = (new ManualTimeProvider(), new LogLines(), folder["resolv.conf"]);
        var file = new ResolverFile(path, time, Log.To(lines, Level.Info, time));
        Assert.Equal(("127.0.0.1:53", true), (string.Join(' ', file.Current.Servers), file.Trouble.Length > 0));
        File.WriteAllText(path, "nameserver 10.0.0.1");
        Assert.Equal("127.0.0.1:53", string.Join(' ', file.Current.Servers)); // not read again so soon
        time.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal(("10.0.0.1:53", ""), (string.Join(' ', file.Current.Servers), file.Trouble));
        File.Delete(path);
        if (what == "empty") File.WriteAllText(path, "");
        if (what == "nobody") File.WriteAllText(path, "search corp.example\noptions timeout:7\n");
        if (what == "folder") Directory.CreateDirectory(path);
        if (what == "pipe") System.Diagnostics.Process.Start("mkfifo", path).WaitForExit();
        if (what == "endless") using (var large = File.Create(path)) large.SetLength(1L << 40);
        for (var i = 0; i < 3; i++)
        {
            time.Advance(TimeSpan.FromSeconds(3));
            // A pipe that nobody writes to must not hold up all names.
            var now = await Task.Run(() => file.Current).WaitAsync(TimeSpan.FromSeconds(20));
            Assert.Equal("10.0.0.1:53", string.Join(' ', now.Servers));
            Assert.Equal(what == "nobody" ? 7 : 5, now.Timeout.TotalSeconds);
            Assert.NotEmpty(file.Trouble);
        }

        Assert.Equal(2, lines.Count("is not known from its file")); // at the start, and now
        if (Directory.Exists(path)) Directory.Delete(path);
        File.Delete(path);
        File.WriteAllText(path, "nameserver 10.0.0.1");
        time.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal(("10.0.0.1:53", 5, ""), (string.Join(' ', file.Current.Servers), (int)file.Current.Timeout.TotalSeconds, file.Trouble));
        Assert.Equal(2, lines.Count("is known again"));
    }
}
