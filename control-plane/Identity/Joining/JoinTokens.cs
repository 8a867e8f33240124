using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Mesh.Api.Identity;
using Mesh.ControlPlane.Identity.Records;
using Mesh.ControlPlane.Identity.Stores;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Identity.Joining;

/// <summary>
/// Makes join tokens and takes each of them once: that a token was used is an entry of the store, which one of any number of attempts makes, here
/// or at another control plane, before or after a restart. Thread safe.
/// </summary>
internal sealed class JoinTokens
{
    /// <summary>How long a token holds unless its maker says otherwise.</summary>
    public static readonly TimeSpan DefaultLife = TimeSpan.FromMinutes(10);

    /// <summary>How long a token holds at most.</summary>
    public static readonly TimeSpan LongestLife = TimeSpan.FromHours(24);

    /// <summary>The entry with the key that tokens are signed with; made after the authority.</summary>
    public const string KeyEntry = "token-key";
    private const string Consumed = "consumed";
    private const int KeyBytes = 32;

    /// <summary>Used tokens are remembered for so long after their end: clocks differ.</summary>
    private static readonly TimeSpan RememberedFor = TimeSpan.FromHours(1);

    private readonly IAuthorityStore store;
    private readonly Grants grants;
    private readonly ReadOnlyMemory<byte> signing;
    private readonly TimeProvider time;

    private JoinTokens(IAuthorityStore store, Grants grants, ReadOnlyMemory<byte> signing, TimeProvider time) =>
        (this.store, this.grants, this.signing, this.time) = (store, grants, signing, time);

    /// <summary>Opens the key that all control planes of the store sign tokens with, and makes it when there is none.</summary>
    public static async Task<JoinTokens> OpenAsync(IAuthorityStore store, Grants grants, TimeProvider time, CancellationToken stop)
    {
        var entry = await store.ReadAsync(KeyEntry, stop);
        if (entry is null)
        {
            await store.CreateAsync(KeyEntry, RandomNumberGenerator.GetBytes(KeyBytes), stop);
            entry = await store.ReadAsync(KeyEntry, stop);
        }

        return entry is { Content.Length: KeyBytes }
            ? new JoinTokens(store, grants, entry.Content, time)
            : throw new StoreException($"the entry {KeyEntry} in {store.Place} is no key of {KeyBytes} bytes: delete it, and new tokens have to be made");
    }

    /// <summary>A key of the same mesh for proofs of addresses, from which none for tokens follows.</summary>
    public ReadOnlyMemory<byte> AddressKey => HKDF.Expand(HashAlgorithmName.SHA256, signing.ToArray(), KeyBytes, "mesh address proofs"u8.ToArray());

    /// <summary>Makes a token. A <see cref="FormatException"/> says what cannot be in one.</summary>
    public JoinToken Create(SpiffeId identity, ImmutableArray<string> serves, ImmutableArray<string> addresses, TimeSpan life, string root)
    {
        if (identity.Account is null) throw new FormatException($"identity: {identity} is not of the form spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT");
        if (identity == ControlPlaneId.Of(identity.TrustDomain)) throw new FormatException($"identity: {identity} is the control plane's own");
        if (serves.FirstOrDefault(name => !ServiceName.IsValid(name)) is { } service)
            throw new FormatException($"serves: '{service}' is no name of a service; it is one of the identity's own namespace, so write the name alone");
        if (addresses.FirstOrDefault(text => !IPAddress.TryParse(text, out _)) is { } address) throw new FormatException($"addresses: '{address}' is no IP address");
        if (life <= TimeSpan.Zero || life > LongestLife) throw new FormatException($"ttlSeconds: 1 to {LongestLife.TotalSeconds:0}");
        try
        {
            return JoinToken.Create(identity, serves, addresses, time.GetUtcNow() + life, root, signing.Span);
        }
        catch (ArgumentException e)
        {
            throw new FormatException(e.Message, e);
        }
    }

    /// <summary>
    /// Takes a token, once: records that it was used and what it grants. Null with the problem when it is refused. Whoever got no answer may
    /// show it again with the same key: nobody else has that.
    /// </summary>
    /// <param name="text">The token.</param>
    /// <param name="key">SHA-256 of the key the certificate is asked for, hex.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="StoreException">Whether it was used cannot be recorded; it is not taken then.</exception>
    public async Task<(JoinToken? Token, string? Problem)> ConsumeAsync(string text, string key, CancellationToken stop)
    {
        var (token, _, problem) = JoinToken.Verify(text, [signing], time.GetUtcNow());
        if (token is null) return (null, problem);
        if (token.Identity.Account is null) return (null, "the join token names no workload");
        var (name, used) = ($"{Consumed}/{token.Id}", string.Create(CultureInfo.InvariantCulture, $"{token.Expires.ToUnixTimeSeconds()} {key}"));
        if (!await store.CreateAsync(name, Encoding.ASCII.GetBytes(used), stop) && !await WasAsync(name, used, stop))
            return (null, "the join token was used already; each is good for one workload: make another (meshctl token create)");
        await grants.AddAsync(token.Identity, token.Serves, token.Addresses, stop);
        return (token, null);
    }

    private async Task<bool> WasAsync(string name, string used, CancellationToken stop) =>
        await store.ReadAsync(name, stop) is { } entry && Encoding.ASCII.GetString(entry.Content.Span) == used;

    /// <summary>Forgets used tokens that nobody could use any more.</summary>
    public async Task SweepAsync(CancellationToken stop)
    {
        // What cannot be read may be a token that was used: it stays.
        foreach (var entry in await store.ReadAllAsync(Consumed, (_, _) => { }, stop))
        {
            var isOver = long.TryParse(Encoding.ASCII.GetString(entry.Content.Span).Split(' ')[0], NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)
                && DateTimeOffset.FromUnixTimeSeconds(seconds) + RememberedFor < time.GetUtcNow();
            if (isOver) await store.DeleteAsync(entry.Name, stop);
        }
    }
}
