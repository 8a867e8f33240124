using Mesh.Api.Identity;
using Mesh.Cli.Identity;
using Mesh.Tests;

namespace Mesh.Cli.Tests.Identity;

/// <summary>The files of <c>meshctl identity fetch</c>: one set at a time, for their owner only, and nothing left behind.</summary>
public sealed class SvidFilesTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly CertificateForge forge = new(TimeProvider.System);
    private readonly Forged root;

    public SvidFilesTests() => root = forge.Root();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void The_three_files_belong_together_and_are_their_owners()
    {
        var credentials = Make();
        new SvidFiles(folder["out"]).Write(credentials);

        var read = Svid.FromPem(File.ReadAllText(folder["out/tls.crt"]), File.ReadAllText(folder["out/tls.key"]));
        Assert.Equal(credentials.Svid.Certificate.SerialNumber, read.Certificate.SerialNumber);
        Assert.Equal(credentials.Bundle.Fingerprint, TrustBundle.FromPem("cluster.local", File.ReadAllText(folder["out/ca.crt"])).Fingerprint);
        Assert.NotEmpty(SecureFiles.ReadSecret(File.ResolveLinkTarget(folder["out/tls.key"], returnFinalTarget: true)!.FullName));
    }

    [Fact]
    public async Task A_reader_of_the_folder_never_sees_a_mixture()
    {
        var files = new SvidFiles(folder["out"]);
        var sets = Enumerable.Range(0, 8).Select(_ => Make()).ToList();
        files.Write(sets[0]);
        using var done = new CancellationTokenSource();
        var reads = 0;
        var reader = Task.Run(() =>
        {
            while (!done.IsCancellationRequested)
            {
                // As programs do that follow Kubernetes' volumes: which set it is is asked once.
                var set = folder["out/" + new FileInfo(folder["out/..data"]).LinkTarget];
                try
                {
                    Svid.FromPem(File.ReadAllText(Path.Combine(set, "tls.crt")), File.ReadAllText(Path.Combine(set, "tls.key")));
                    reads++;
                }
                catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
                {
                    // The set was replaced and removed meanwhile.
                }
            }
        });
        for (var i = 1; i <= 300 || reads < 20; i++) files.Write(sets[i % sets.Count]);
        await done.CancelAsync();
        await reader;

        Assert.Equal(["..data", "ca.crt", "tls.crt", "tls.key"],
            Directory.GetFileSystemEntries(folder["out"]).Select(Path.GetFileName).Where(n => !n!.StartsWith($"..{Environment.ProcessId}.", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
        Assert.Single(Directory.GetDirectories(folder["out"], $"..{Environment.ProcessId}.*"));
    }

    [Fact]
    public void Another_process_takes_over_where_the_one_before_ended()
    {
        new SvidFiles(folder["out"]).Write(Make());
        var next = Make();

        new SvidFiles(folder["out"]).Write(next);

        Assert.Equal(next.Svid.ChainPem(), File.ReadAllText(folder["out/tls.crt"]));
    }

    [Fact]
    public void A_link_that_leads_elsewhere_is_replaced_and_nothing_behind_it_is_removed()
    {
        Directory.CreateDirectory(folder["elsewhere"]);
        SecureFiles.EnsureFolder(folder["out"]);
        File.CreateSymbolicLink(folder["out/..data"], folder["elsewhere"]);

        new SvidFiles(folder["out"]).Write(Make());

        Assert.True(Directory.Exists(folder["elsewhere"]));
        Assert.Empty(Directory.GetFileSystemEntries(folder["elsewhere"]));
    }

    [Fact]
    public void A_folder_that_others_may_enter_is_refused()
    {
        Directory.CreateDirectory(folder["out"]);
        File.SetUnixFileMode(folder["out"], UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.OtherExecute);

        var e = Assert.Throws<IOException>(() => new SvidFiles(folder["out"]).Write(Make()));

        Assert.Contains("chmod 700", e.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(folder["out"]));
    }

    private Credentials Make()
    {
        var leaf = forge.Leaf(root);
        return new Credentials(Svid.FromPem(leaf.Pem, leaf.KeyPem), TrustBundle.FromPem("cluster.local", root.Pem));
    }
}
