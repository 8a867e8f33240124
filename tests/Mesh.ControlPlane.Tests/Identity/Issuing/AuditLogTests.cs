using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Issuing;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Identity.Issuing;

public sealed class AuditLogTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly LogLines lines = new();

    public void Dispose()
    {
        folder.Dispose();
        lines.Dispose();
    }

    [Fact]
    public void Lines_are_json_in_a_file_of_the_owner()
    {
        var audit = Open();
        audit.Write(Event("one\ntwo\u001b[31m"));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(folder["identity/refused.log"]));
        var line = Assert.Single(File.ReadAllLines(folder["identity/refused.log"]));
        Assert.Contains("one\\ntwo\\u001B[31m", line);
        Assert.Equal("one\ntwo\u001b[31m", Assert.Single(audit.Tail(10)).Text);
    }

    [Fact]
    public void At_its_bound_it_is_put_aside_and_the_oldest_goes()
    {
        var audit = Open(largest: 1000);
        for (var i = 0; i < 200; i++) audit.Write(Event($"{i}"));
        var files = Directory.GetFiles(folder["identity"]);
        Assert.Equal(6, files.Length);
        Assert.All(files, file => Assert.InRange(new FileInfo(file).Length, 1, 1000));
        Assert.Equal("199", audit.Tail(1)[0].Text);
    }

    [Fact]
    public void A_log_that_cannot_be_written_stops_nothing_and_is_told()
    {
        var audit = Open();
        Directory.CreateDirectory(folder["identity/refused.log"]);
        audit.Write(Event("lost"));
        Assert.True(lines.Has("audit log cannot be written"));
        Assert.True(lines.Has("lost"));
    }

    [Fact]
    public void Half_a_line_of_a_full_disk_is_passed_over()
    {
        var audit = Open();
        audit.Write(Event("good"));
        File.AppendAllText(folder["identity/refused.log"], "{\"at\":\"2030");
        Assert.Equal("good", Assert.Single(audit.Tail(10)).Text);
    }

    [Fact]
    public void What_was_refused_drives_out_nothing_that_was_issued()
    {
        var audit = Open(largest: 1000);
        audit.Write(Event("by a token") with { Event = "issued" });
        for (var i = 0; i < 200; i++) audit.Write(Event($"{i}"));
        Assert.Contains("by a token", Assert.Single(File.ReadAllLines(folder["identity/audit.log"])));
    }

    private AuditLog Open(long largest = AuditLog.Largest) => new(folder["identity"], Log.To(lines, Level.Debug, TimeProvider.System), largest);

    private static AuditEvent Event(string text) => new(new DateTimeOffset(2030, 1, 1, 0, 0, 0, TimeSpan.Zero), "refused") { Text = text };
}
