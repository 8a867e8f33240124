using System.Diagnostics;
using Mesh.Api.Identity.Agent;
using Mesh.Tests;

namespace Mesh.Api.Tests.Identity;

/// <summary>The identity folder: a restart needs no token, and a folder that cannot be used costs nothing but that.</summary>
public sealed class AgentKeepsTests : IAsyncLifetime
{
    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private readonly ManualTimeProvider time = new();
    private readonly TemporaryFolder folder = new();
    private SmallAuthority authority = null!;

    public async Task InitializeAsync() => authority = await SmallAuthority.StartAsync(time);

    public async Task DisposeAsync()
    {
        await authority.DisposeAsync();
        folder.Dispose();
    }

    [Fact]
    public async Task A_restart_goes_on_with_what_was_kept_and_renews_it()
    {
        string serial;
        await using (var agent = Start(authority.Token()))
        {
            serial = (await agent.CertifiedAsync()).Svid.Certificate.SerialNumber;
            await Eventually.TrueAsync(() => File.Exists(folder["id/identity.pem"]));
        }

        Assert.Equal(Private | UnixFileMode.UserExecute, File.GetUnixFileMode(folder["id"]));
        Assert.All(Directory.EnumerateFiles(folder["id"]), f => Assert.Equal(Private, File.GetUnixFileMode(f)));
        await using var again = Start(null);
        Assert.Equal(serial, (await again.CertifiedAsync()).Svid.Certificate.SerialNumber);
        Assert.Single(authority.Requests);
        await Eventually.TrueAsync(() => time.ActiveTimers > 0);
        time.Advance(TimeSpan.FromHours(15));
        await Eventually.TrueAsync(() => again.Changes == 2, () => again.Lines.ToString());
        Assert.Equal(serial, authority.Requests.Last().Certificate!.SerialNumber);
    }

    [Fact]
    public async Task Pushed_roots_are_kept_too()
    {
        await using (var agent = Start(authority.Token()))
        {
            await agent.CertifiedAsync();
            agent.Agent.UpdateBundle(new("cluster.local", [authority.Root.Certificate, authority.Forge.Root("next").Certificate]));
            await Eventually.TrueAsync(() => File.Exists(folder["id/bundle.pem"]) && File.ReadAllText(folder["id/bundle.pem"]).Split("BEGIN").Length == 3);
        }

        await using var again = Start(null);
        Assert.Equal(2, (await again.CertifiedAsync()).Bundle.Roots.Length);
    }

    public static TheoryData<string, string> Spoilt => new()
    {
        { "loose key", "chmod 600" },
        { "loose folder", "chmod 700" },
        { "no key", "holds no private key" },
        { "another's key", "not the certificate's" },
        { "garbage", "holds no private key" },
        { "no roots", "no certificate in it" },
        { "no bundle", "bundle.pem" },
        { "another's roots", "UnknownIssuer" },
        { "another identity", "and the join token for" },
        { "expired", "Expired" },
        { "a symbolic link", "symbolic link" },
    };

    [Theory]
    [MemberData(nameof(Spoilt))]
    public async Task What_was_kept_and_cannot_be_used_is_said_and_the_token_does(string how, string reason)
    {
        await using (var agent = Start(authority.Token()))
        {
            await agent.CertifiedAsync();
            await Eventually.TrueAsync(() => File.Exists(folder["id/identity.pem"]));
        }

        var id = "spiffe://cluster.local/ns/shop/sa/cart";
        switch (how)
        {
            case "loose key": File.SetUnixFileMode(folder["id/identity.pem"], Private | UnixFileMode.GroupRead); break;
            case "loose folder": File.SetUnixFileMode(folder["id"], Private | UnixFileMode.UserExecute | UnixFileMode.OtherExecute); break;
            case "no key": Replace("identity.pem", authority.Issuer.Pem); break;
            case "another's key": Replace("identity.pem", authority.Forge.Leaf(authority.Issuer).Pem + authority.Issuer.KeyPem); break;
            case "garbage": Replace("identity.pem", "\0\u0001garbage"); break;
            case "no roots": Replace("bundle.pem", ""); break;
            case "no bundle": File.Delete(folder["id/bundle.pem"]); break;
            case "another's roots": Replace("bundle.pem", authority.Forge.Root("other").Pem); break;
            case "another identity": id = "spiffe://cluster.local/ns/shop/sa/bank"; break;
            case "expired": time.Advance(TimeSpan.FromHours(25)); authority.Show(authority.Forge.ControlPlane(authority.Issuer, authority.Root)); break;
            case "a symbolic link":
                File.Move(folder["id/identity.pem"], folder["moved.pem"]);
                File.CreateSymbolicLink(folder["id/identity.pem"], folder["moved.pem"]);
                break;
        }

        authority.Answer = asked => SmallAuthority.Chain(authority.LeafFor(asked, id).Pem, authority.Issuer.Pem, authority.Root.Pem);
        await using var again = Start(authority.Token(id));
        await again.SaysAsync("the kept certificate is not used");
        await again.SaysAsync(reason);
        Assert.Equal(id, (await again.CertifiedAsync()).Svid.Id.ToString());
    }

    [Fact]
    public async Task A_folder_that_cannot_be_made_is_said_and_the_agent_goes_on_in_memory()
    {
        await File.WriteAllTextAsync(folder["id"], "a file");
        await using var agent = Start(authority.Token());
        await agent.CertifiedAsync();
        await agent.SaysAsync("the certificate cannot be kept");
    }

    [SkippableFact]
    public async Task A_full_disk_is_said_and_the_agent_goes_on_in_memory()
    {
        var disk = Directory.CreateDirectory(folder["disk"], Private | UnixFileMode.UserExecute).FullName;
        Skip.If(Run("mount", "-t", "tmpfs", "-o", "size=4k,mode=700", "tmpfs", disk) != 0, "may not mount a small file system");
        try
        {
            await using var agent = new RunningAgent(new() { ControlPlane = authority.Address, JoinToken = authority.Token(), IdentityDir = disk }, time);
            await agent.CertifiedAsync();
            await agent.SaysAsync("No space left");
            Assert.False(File.Exists(Path.Combine(disk, "identity.pem")));
            Assert.Empty(Directory.EnumerateFiles(disk, "*.new"));
            Assert.NotNull(agent.Agent.Current);
        }
        finally
        {
            Run("umount", disk);
        }
    }

    private static int Run(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardError = true })!;
            process.WaitForExit();
            return process.ExitCode;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return -1;
        }
    }

    private void Replace(string name, string content)
    {
        var path = Path.Combine(folder["id"], name);
        File.WriteAllText(path, content);
        File.SetUnixFileMode(path, Private);
    }

    private RunningAgent Start(string? token) =>
        new(new IdentityAgentOptions { ControlPlane = authority.Address, JoinToken = token, IdentityDir = folder["id"] }, time);
}
