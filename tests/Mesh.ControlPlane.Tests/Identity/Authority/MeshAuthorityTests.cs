using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Identity.Stores;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Identity.Authority;

/// <summary>The mesh's own authority: made once, kept, renewed, and never half there.</summary>
public sealed class MeshAuthorityTests : IDisposable
{
    private static readonly CancellationToken None = CancellationToken.None;
    private static readonly SpiffeId Cart = SpiffeId.Parse("spiffe://cluster.local/ns/shop/sa/cart");
    private readonly TemporaryFolder folder = new();
    private readonly ManualTimeProvider time = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task Eight_control_planes_that_start_at_once_make_one_authority_in_a_folder()
    {
        await AssertOneAuthorityAsync(() => new FolderStore(folder["identity"], TimeProvider.System));
        Assert.Equal(["authority"], Directory.EnumerateFiles(Path.Combine(folder["identity"], "ca")).Select(Path.GetFileName));
    }

    [SkippableFact]
    public async Task Eight_control_planes_that_start_at_once_make_one_authority_in_consul()
    {
        await using var consul = await ConsulProcess.StartAsync();
        var key = RandomNumberGenerator.GetBytes(32);
        var clients = new List<ConsulClient>();
        await AssertOneAuthorityAsync(() =>
        {
            clients.Add(new ConsulClient(new ConsulOptions { Address = consul.Address }, TimeProvider.System));
            return new ConsulKvStore(clients[^1], "mesh/identity/cluster.local/", new Seal(key));
        });
        clients.ForEach(client => client.Dispose());
    }

    [Fact]
    public async Task What_it_issues_is_believed_by_the_rules_of_svids()
    {
        var (authority, _) = await OpenAsync();
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var issued = authority.Issue(Cart, new PublicKey(key), Holder.New());
        Assert.True(new SvidVerifier(time).Verify(issued.Leaf, issued.Chain, authority.Current.Bundle) is { Ok: true, Id: var id } && id == Cart);
        Assert.True(UriSans.TryRead(issued.Leaf, out var uris, out _));
        Assert.Equal(Cart.ToString(), Assert.Single(uris));
        Assert.Single(issued.Chain);
        Assert.Equal("", issued.Leaf.Subject);
        Assert.Equal(3652, (int)(authority.Current.Issuer.Root.NotAfter.ToUniversalTime() - time.GetUtcNow().UtcDateTime).TotalDays);
    }

    [Fact]
    public async Task Openssl_believes_it_too()
    {
        var (authority, _) = await OpenAsync(TimeProvider.System);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var issued = authority.Issue(Cart, new PublicKey(key), Holder.New());
        File.WriteAllText(folder["root.pem"], authority.Current.Bundle.ToPem());
        File.WriteAllText(folder["chain.pem"], CertificatePem.Write(issued.Chain));
        File.WriteAllText(folder["leaf.pem"], CertificatePem.Write([issued.Leaf]));
        await using var openssl = ChildProcess.Start("openssl", ["verify", "-x509_strict", "-CAfile", folder["root.pem"], "-untrusted", folder["chain.pem"], folder["leaf.pem"]]);
        Assert.Equal(0, await openssl.WaitAsync(30));
    }

    [Fact]
    public async Task Serial_numbers_never_repeat()
    {
        var (authority, _) = await OpenAsync();
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var holder = Holder.New();
        var serials = Enumerable.Range(0, 200).Select(i => authority.Issue(Cart, new PublicKey(key), i % 2 == 0 ? holder : Holder.New()).Leaf.SerialNumber).ToList();
        Assert.Equal(200, serials.Distinct().Count());
        Assert.All(serials, serial => Assert.Equal(32, serial.Length));
    }

    [Fact]
    public async Task The_issuing_certificate_is_replaced_long_before_its_end_and_old_leaves_stay_good()
    {
        var (authority, ours) = await OpenAsync();
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var first = authority.Current.Issuer;
        time.Advance(TimeSpan.FromDays(240));
        await ours.MaintainAsync(None);
        Assert.Equal(first.Id, authority.Current.Issuer.Id);
        var old = authority.Issue(Cart, new PublicKey(key), Holder.New());
        time.Advance(TimeSpan.FromDays(10));
        await ours.MaintainAsync(None);
        var second = authority.Current.Issuer;
        Assert.NotEqual(first.Id, second.Id);
        Assert.Equal(first.RootId, second.RootId);
        Assert.True(first.NotAfter - time.GetUtcNow() > TimeSpan.FromDays(100));

        time.Advance(TimeSpan.FromDays(-10) + TimeSpan.FromDays(10.5));
        var fresh = authority.Issue(Cart, new PublicKey(key), Holder.New());
        Assert.True(new SvidVerifier(time).Verify(fresh.Leaf, fresh.Chain, authority.Current.Bundle).Ok);
        Assert.Equal(SvidProblem.Expired, new SvidVerifier(time).Verify(old.Leaf, old.Chain, authority.Current.Bundle).Problem);

        // Another control plane takes it up.
        var (another, _) = await OpenAsync();
        Assert.Equal(second.Id, another.Current.Issuer.Id);
    }

    [Fact]
    public async Task No_certificate_outlives_its_issuer_or_root()
    {
        var (authority, ours) = await OpenAsync();
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        time.Advance(TimeSpan.FromDays(3651.9));
        await ours.MaintainAsync(None);
        var issued = authority.Issue(Cart, new PublicKey(key), Holder.New());
        Assert.Equal(authority.Current.Issuer.Root.NotAfter, issued.Leaf.NotAfter);
        time.Advance(TimeSpan.FromDays(1));
        await ours.MaintainAsync(None);
        Assert.Contains("ended at", Assert.Throws<IssuingException>(() => authority.Issue(Cart, new PublicKey(key), Holder.New())).Message);
    }

    [Fact]
    public async Task A_clock_that_is_behind_issues_nothing()
    {
        await OpenAsync();
        var past = new CertificateAuthority("cluster.local", new Lifetimes(), TimeProvider.System);
        using var ours = await MeshAuthority.OpenAsync(past, Store(), TimeProvider.System, Log.Silent, None);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        Assert.Contains("is the clock right?", Assert.Throws<IssuingException>(() => past.Issue(Cart, new PublicKey(key), Holder.New())).Message);
    }

    [Theory]
    [InlineData("spiffe://other.domain/ns/shop/sa/cart")]
    [InlineData("spiffe://cluster.local")]
    public async Task Only_workloads_of_the_own_trust_domain_are_named(string id)
    {
        var (authority, _) = await OpenAsync();
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        Assert.Throws<ArgumentException>(() => authority.Issue(SpiffeId.Parse(id), new PublicKey(key), Holder.New()));
    }

    [Theory]
    [InlineData("", "cannot be used")]
    [InlineData("{}", "cannot be used")]
    [InlineData("{\"format\":2}", "cannot be used")]
    [InlineData("cut", "cannot be used")]
    [InlineData("unknown", "cannot be used")]
    [InlineData("key", "cannot be used")]
    [InlineData("domain", "--trust-domain")]
    public async Task A_broken_authority_is_an_error_and_never_replaced(string how, string words)
    {
        await OpenAsync();
        var path = Path.Combine(folder["identity"], "ca", "authority");
        var good = File.ReadAllText(path);
        var other = AuthorityState.Create("cluster.local", new Lifetimes(), time.GetUtcNow());
        var broken = how switch
        {
            "cut" => good[..(good.Length / 2)],
            "unknown" => good.Replace("\"format\"", "\"weak\": true, \"format\"", StringComparison.Ordinal),
            "key" => System.Text.Encoding.UTF8.GetString((other with { Roots = [other.Roots[0] with { IssuerKey = other.Roots[0].Key }] }).Write()),
            "domain" => good.Replace("\"cluster.local\"", "\"other.domain\"", StringComparison.Ordinal),
            _ => how,
        };
        SecureFiles.WriteAtomically(path, System.Text.Encoding.UTF8.GetBytes(broken));
        var e = await Assert.ThrowsAsync<StoreException>(() => OpenAsync());
        Assert.Contains(words, e.Message);
        Assert.DoesNotContain("PRIVATE KEY", e.Message);
        Assert.Equal(broken, File.ReadAllText(path));
    }

    [SkippableFact]
    public async Task A_full_disk_is_an_error_and_leaves_nothing_behind()
    {
        Skip.IfNot(await MountAsync("tmpfs", "size=8k"), "mounting needs root");
        try
        {
            // One page for the folder, one for a file that fills the rest.
            var store = new FolderStore(Path.Combine(folder["disk"], "identity"), TimeProvider.System);
            await FillAsync(folder["disk"]);
            var authority = new CertificateAuthority("cluster.local", new Lifetimes(), time);
            var e = await Assert.ThrowsAsync<StoreException>(() => MeshAuthority.OpenAsync(authority, store, time, Log.Silent, None));
            Assert.Contains("cannot write", e.Message);
            Assert.Contains("space", e.Message);
            Assert.DoesNotContain(Directory.EnumerateFiles(folder["disk"], "*", SearchOption.AllDirectories), f => f.Contains("authority", StringComparison.Ordinal));
        }
        finally
        {
            await using var umount = ChildProcess.Start("umount", [folder["disk"]]);
            await umount.WaitAsync(10);
        }
    }

    [SkippableFact]
    public async Task A_disk_that_fills_later_leaves_the_authority_in_use()
    {
        Skip.IfNot(await MountAsync("tmpfs", "size=64k"), "mounting needs root");
        try
        {
            var store = new FolderStore(Path.Combine(folder["disk"], "identity"), time);
            var authority = new CertificateAuthority("cluster.local", new Lifetimes(), time);
            using var ours = await MeshAuthority.OpenAsync(authority, store, time, Log.Silent, None);
            var before = authority.Current.Issuer.Id;
            await FillAsync(folder["disk"]);
            time.Advance(TimeSpan.FromDays(300));
            await Assert.ThrowsAsync<StoreException>(() => ours.MaintainAsync(None));
            Assert.Equal(before, authority.Current.Issuer.Id);
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            authority.Issue(Cart, new PublicKey(key), Holder.New());
            File.Delete(Path.Combine(folder["disk"], "full"));
            await ours.MaintainAsync(None);
            Assert.NotEqual(before, authority.Current.Issuer.Id);
        }
        finally
        {
            await using var umount = ChildProcess.Start("umount", [folder["disk"]]);
            await umount.WaitAsync(10);
        }
    }

    private FolderStore Store() => new(folder["identity"], time);

    private async Task<(CertificateAuthority Authority, MeshAuthority Ours)> OpenAsync(TimeProvider? clock = null)
    {
        var authority = new CertificateAuthority("cluster.local", new Lifetimes(), clock ?? time);
        return (authority, await MeshAuthority.OpenAsync(authority, Store(), clock ?? time, Log.Silent, None));
    }

    private async Task AssertOneAuthorityAsync(Func<IAuthorityStore> open)
    {
        using var start = new ManualResetEventSlim();
        var starting = Enumerable.Range(0, 8).Select(_ => open()).ToList().Select(store => Task.Run(async () =>
        {
            var authority = new CertificateAuthority("cluster.local", new Lifetimes(), TimeProvider.System);
            start.Wait();
            using var ours = await MeshAuthority.OpenAsync(authority, store, TimeProvider.System, Log.Silent, None);
            return (authority.Current.Issuer.Id, authority.Current.Bundle.Fingerprint);
        })).ToList();
        start.Set();
        Assert.Single((await Task.WhenAll(starting)).Distinct());
    }

    private async Task<bool> MountAsync(string type, string options)
    {
        Directory.CreateDirectory(folder["disk"]);
        await using var mount = ChildProcess.Start("mount", ["-t", type, "-o", options, "none", folder["disk"]]);
        return await mount.WaitAsync(10) == 0;
    }

    private static async Task FillAsync(string disk)
    {
        await using var file = new FileStream(Path.Combine(disk, "full"), FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        try
        {
            while (true) await file.WriteAsync(new byte[512]);
        }
        catch (IOException)
        {
            // Full.
        }
    }
}
