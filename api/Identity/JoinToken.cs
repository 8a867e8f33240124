using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Mesh.Api.Identity;

/// <summary>Why a join token is refused: one value a reason.</summary>
public enum JoinTokenProblem
{
    /// <summary>It is good.</summary>
    None,

    /// <summary>It is no join token, or broken.</summary>
    Malformed,

    /// <summary>None of the keys signed it.</summary>
    BadSignature,

    /// <summary>Its time is over.</summary>
    Expired,
}

/// <summary>The judgement of a token.</summary>
/// <param name="Token">The token; null when refused.</param>
/// <param name="Problem">Why it is refused.</param>
/// <param name="Text">The same in words.</param>
public readonly record struct JoinTokenVerdict(JoinToken? Token, JoinTokenProblem Problem, string Text);

/// <summary>
/// What a workload shows to get its first certificate: <c>mesh1.&lt;JSON&gt;.&lt;HMAC-SHA256&gt;</c>, both in base64url. It names one identity, what that
/// may serve, when it ends, and by hash the root by which the holder knows the real control plane. A secret: it is never logged, and
/// its <see cref="ToString"/> hides it. That it is used once is the control plane's to see to. Immutable.
/// </summary>
public sealed record JoinToken
{
    /// <summary>The longest token, in letters.</summary>
    public const int MaxLength = 8 * 1024;

    private const string Prefix = "mesh1.";
    private const int LeastKey = 32;

    internal JoinToken()
    {
    }

    /// <summary>What tells it from all others; consumed once.</summary>
    public required string Id { get; init; }

    /// <summary>Who its holder becomes.</summary>
    public required SpiffeId Identity { get; init; }

    /// <summary>The services the identity may serve: <c>name</c> in its namespace.</summary>
    public ImmutableArray<string> Serves { get; init; } = [];

    /// <summary>The addresses a workload of this token may register at beside the one it calls from.</summary>
    public ImmutableArray<string> Addresses { get; init; } = [];

    /// <summary>When it ends.</summary>
    public required DateTimeOffset Expires { get; init; }

    /// <summary>The SHA-256 of the root's DER, in lower-case hex.</summary>
    public required string Root { get; init; }

    /// <summary>The token as it is handed over. A secret.</summary>
    public string Text { get; internal init; } = "";

    /// <summary>Makes and signs a token; its ID is drawn from the system's randomness.</summary>
    public static JoinToken Create(
        SpiffeId identity, IEnumerable<string> serves, IEnumerable<string> addresses, DateTimeOffset expires, string root, ReadOnlySpan<byte> key)
    {
        if (key.Length < LeastKey) throw new ArgumentException($"a key of tokens has at least {LeastKey} bytes", nameof(key));
        var token = new JoinToken
        {
            Id = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16)),
            Identity = identity,
            Serves = [.. serves],
            Addresses = [.. addresses],
            // Tokens tell whole seconds.
            Expires = DateTimeOffset.FromUnixTimeSeconds(expires.ToUnixTimeSeconds()),
            Root = root.ToLowerInvariant(),
        };
        var signed = Prefix + Base64Url.Encode(JoinTokenJson.Write(token));
        var text = $"{signed}.{Base64Url.Encode(HMACSHA256.HashData(key, Encoding.ASCII.GetBytes(signed)))}";
        if (text.Length > MaxLength) throw new ArgumentException($"the token would have {text.Length} letters; {MaxLength} are allowed: fewer services or addresses");
        // Nobody is handed a token that nobody would take.
        return TryRead(text, out _, out var problem) ? token with { Text = text } : throw new ArgumentException($"no token can be made of this: {problem}");
    }

    /// <summary>Reads a token without believing it: for its holder, who has no key and wants the root's hash.</summary>
    public static bool TryRead(string text, [NotNullWhen(true)] out JoinToken? token, [NotNullWhen(false)] out string? problem) =>
        TryRead(text, out token, out _, out problem);

    /// <summary>Judges a token: signed by one of the keys, and not over.</summary>
    public static JoinTokenVerdict Verify(string text, IEnumerable<ReadOnlyMemory<byte>> keys, DateTimeOffset now)
    {
        if (!TryRead(text, out var token, out var signature, out var problem))
            return new(null, JoinTokenProblem.Malformed, problem);
        var signed = Encoding.ASCII.GetBytes(token.Text[..token.Text.LastIndexOf('.')]);
        if (!keys.Any(key => CryptographicOperations.FixedTimeEquals(HMACSHA256.HashData(key.Span, signed), signature)))
            return new(null, JoinTokenProblem.BadSignature, "the join token was not signed by this control plane");
        return now < token.Expires
            ? new(token, JoinTokenProblem.None, "")
            : new(null, JoinTokenProblem.Expired, $"the join token ended at {token.Expires:u}; it is {now:u}: make a new one (meshctl token create)");
    }

    /// <summary>What may be logged: no part of the secret.</summary>
    public override string ToString() => $"join token {Id[..Math.Min(8, Id.Length)]}… for {Identity} until {Expires:u}";

    private static bool TryRead(
        string text, [NotNullWhen(true)] out JoinToken? token, out byte[] signature, [NotNullWhen(false)] out string? problem)
    {
        (token, signature) = (null, []);
        text = text.Trim();
        problem = text.Length > MaxLength ? $"it has {text.Length} letters; {MaxLength} are allowed"
            : !text.StartsWith(Prefix, StringComparison.Ordinal) ? $"it does not start with '{Prefix}'"
            : text.Split('.') is not [_, var json, var mac] ? "it does not have three parts parted by dots"
            : !Base64Url.TryDecode(mac, out signature) || signature.Length != HMACSHA256.HashSizeInBytes ? "its signature is no base64url of 32 bytes"
            : !Base64Url.TryDecode(json, out var bytes) ? "its content is no base64url"
            : JoinTokenJson.TryRead(bytes, out token);
        if (problem is not null) problem = "this is no join token: " + problem;
        token = problem is null ? token! with { Text = text } : null;
        return token is not null;
    }
}
