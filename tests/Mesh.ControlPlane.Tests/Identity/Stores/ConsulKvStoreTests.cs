using System.Security.Cryptography;
using System.Text;
using Mesh.ControlPlane.Identity.Stores;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Identity.Stores;

/// <summary>The contract over a real Consul, and what is special about it: what others see and what they can put there.</summary>
public sealed class ConsulKvStoreTests(ConsulKvStoreTests.Agent agent) : AuthorityStoreContract, IClassFixture<ConsulKvStoreTests.Agent>, IDisposable
{
    private static readonly CancellationToken None = CancellationToken.None;
    private readonly string prefix = $"mesh/identity/{Guid.NewGuid():n}/";
    private readonly byte[] key = RandomNumberGenerator.GetBytes(32);
    private readonly List<IDisposable> opened = [];

    public void Dispose() => opened.ForEach(o => o.Dispose());

    [SkippableFact]
    public async Task Consul_holds_nothing_in_clear()
    {
        var store = Open();
        await store.CreateAsync("ca/authority", Bytes("-----BEGIN PRIVATE KEY-----"), None);
        var raw = await RawAsync("ca/authority");
        Assert.DoesNotContain("PRIVATE", Encoding.Latin1.GetString(raw));
        Assert.NotEqual(raw, await ResealedAsync(store));
    }

    [SkippableFact]
    public async Task A_value_of_another_key_is_refused()
    {
        await Open().CreateAsync("ca/authority", Bytes("x"), None);
        var e = await Assert.ThrowsAsync<StoreException>(() => Open(RandomNumberGenerator.GetBytes(32)).ReadAsync("ca/authority", None));
        Assert.Contains(prefix + "ca/authority", e.Message);
        Assert.Contains("--ca-seal-key-file", e.Message);
    }

    [SkippableFact]
    public async Task A_value_moved_to_another_name_is_refused()
    {
        var store = Open();
        await store.CreateAsync("grants/shop/cart", Bytes("x"), None);
        await PutRawAsync("grants/shop/web", await RawAsync("grants/shop/cart"));
        await Assert.ThrowsAsync<StoreException>(() => store.ReadAsync("grants/shop/web", None));
        await Assert.ThrowsAsync<StoreException>(() => store.ReadAllAsync("grants", None));
        // The others are read all the same, by whoever can do without this one.
        var bad = new List<string>();
        Assert.Equal("grants/shop/cart", Assert.Single(await store.ReadAllAsync("grants", (name, _) => bad.Add(name), None)).Name);
        Assert.Equal(["grants/shop/web"], bad);
    }

    [SkippableFact]
    public async Task A_value_somebody_wrote_or_changed_is_refused()
    {
        var store = Open();
        await store.CreateAsync("revocations/x", Bytes("some content"), None);
        var good = await RawAsync("revocations/x");
        for (var i = 0; i < good.Length; i++)
        {
            var bad = good.ToArray();
            bad[i] ^= 1;
            await PutRawAsync("revocations/x", bad);
            await Assert.ThrowsAsync<StoreException>(() => store.ReadAsync("revocations/x", None));
        }

        foreach (var bad in (byte[][])[[], [1], good[..^1], [.. good, 0], Encoding.UTF8.GetBytes("{}")])
        {
            await PutRawAsync("revocations/x", bad);
            await Assert.ThrowsAsync<StoreException>(() => store.ReadAsync("revocations/x", None));
        }

        await PutRawAsync("revocations/x", good);
        Assert.Equal("some content", Text(await store.ReadAsync("revocations/x", None)));
    }

    [SkippableFact]
    public async Task A_token_without_the_right_is_told_which_it_needs()
    {
        await using var consul = await ConsulProcess.StartWithAclAsync();
        using var client = new ConsulClient(new ConsulOptions { Address = consul.Address }, TimeProvider.System);
        using var seal = new Seal(key);
        var e = await Assert.ThrowsAsync<StoreException>(() => new ConsulKvStore(client, prefix, seal).CreateAsync("token-key", Bytes("x"), None));
        Assert.Contains($"key_prefix \"{prefix}\"", e.Message);
    }

    [SkippableFact]
    public async Task Consul_away_is_an_error_that_names_it()
    {
        Skip.IfNot(ConsulProcess.IsAvailable, ConsulProcess.SkipReason);
        using var client = new ConsulClient(new ConsulOptions { Address = new Uri("http://127.0.0.1:1") }, TimeProvider.System);
        using var seal = new Seal(key);
        var e = await Assert.ThrowsAsync<StoreException>(() => new ConsulKvStore(client, prefix, seal).ReadAsync("token-key", None));
        Assert.Contains(prefix + "token-key", e.Message);
        Assert.Contains("refused", e.Message);
    }

    private protected override Task<(IAuthorityStore One, IAuthorityStore Other)> OpenTwoAsync() => Task.FromResult<(IAuthorityStore, IAuthorityStore)>((Open(), Open()));

    private ConsulKvStore Open(byte[]? other = null)
    {
        Skip.If(agent.Consul is null, ConsulProcess.SkipReason);
        var client = new ConsulClient(new ConsulOptions { Address = agent.Consul!.Address }, TimeProvider.System);
        var seal = new Seal(other ?? key);
        opened.AddRange([client, seal]);
        return new ConsulKvStore(client, prefix, seal);
    }

    private async Task<byte[]> ResealedAsync(ConsulKvStore store)
    {
        var seen = (await store.ReadAsync("ca/authority", None))!;
        await store.ReplaceAsync(seen, seen.Content, None);
        return await RawAsync("ca/authority");
    }

    private async Task<byte[]> RawAsync(string name)
    {
        using var http = agent.Consul!.CreateClient();
        return await http.GetByteArrayAsync(new Uri($"/v1/kv/{prefix}{name}?raw", UriKind.Relative));
    }

    private async Task PutRawAsync(string name, byte[] value)
    {
        using var http = agent.Consul!.CreateClient();
        using var content = new ByteArrayContent(value);
        (await http.PutAsync(new Uri($"/v1/kv/{prefix}{name}", UriKind.Relative), content)).EnsureSuccessStatusCode();
    }

    /// <summary>One agent for all tests of the class; none where there is no Consul.</summary>
    public sealed class Agent : IAsyncLifetime
    {
        public ConsulProcess? Consul { get; private set; }

        public async Task InitializeAsync() => Consul = ConsulProcess.IsAvailable ? await ConsulProcess.StartAsync() : null;

        public async Task DisposeAsync()
        {
            if (Consul is not null) await Consul.DisposeAsync();
        }
    }
}
