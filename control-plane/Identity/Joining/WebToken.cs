using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;
using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Identity.Joining;

/// <summary>The claims of a JSON web token whose signature was right. Immutable.</summary>
/// <param name="Issuer"><c>iss</c>.</param>
/// <param name="Subject"><c>sub</c>.</param>
/// <param name="Audiences"><c>aud</c>.</param>
/// <param name="Expires"><c>exp</c>.</param>
/// <param name="NotBefore"><c>nbf</c>, or null.</param>
internal sealed record WebToken(string Issuer, string Subject, ImmutableArray<string> Audiences, DateTimeOffset Expires, DateTimeOffset? NotBefore)
{
    private const int Longest = 16 * 1024;
    private static readonly JsonDocumentOptions Strict = new() { MaxDepth = 16, AllowDuplicateProperties = false };

    /// <summary>
    /// Reads a token (RFC 7519, compact) that one of the keys signed. The key decides the algorithm, never the token: one that names none, another,
    /// or a header that must be understood is refused.
    /// </summary>
    public static bool TryRead(string text, KeySet keys, [NotNullWhen(true)] out WebToken? token, [NotNullWhen(false)] out string? problem)
    {
        token = null;
        try
        {
            problem = Read(text, keys, out token);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException)
        {
            // What was thrown may quote the token, which belongs in no log.
            problem = "its parts are not JSON of the kind that web tokens have";
        }

        return problem is null;
    }

    private static string? Read(string text, KeySet keys, out WebToken? token)
    {
        token = null;
        if (text.Length > Longest) return $"it has {text.Length} letters; {Longest} are allowed";
        if (text.Split('.') is not [var head, var body, var mac]) return "it does not have three parts parted by dots";
        if (!Base64Url.TryDecode(head, out var header) || !Base64Url.TryDecode(body, out var claims) || !Base64Url.TryDecode(mac, out var signature)) return "a part of it is no base64url";
        if (CheckHeader(header, keys, out var key) is { } problem) return problem;
        if (!key!.Verify(Encoding.ASCII.GetBytes($"{head}.{body}"), signature)) return "its signature is wrong";
        using var document = JsonDocument.Parse(claims, Strict);
        return ReadClaims(document.RootElement, out token);
    }

    private static string? CheckHeader(byte[] json, KeySet keys, out WebKey? key)
    {
        key = null;
        using var document = JsonDocument.Parse(json, Strict);
        var header = document.RootElement;
        if (header.TryGetProperty("crit", out _)) return "its header names something that must be understood and is not";
        if (Text(header, "kid") is not { } id) return "its header names no key (kid)";
        if ((key = keys.Find(id)) is null) return $"its key '{Shown(id)}' is none of those in the JWKS file: {string.Join(", ", keys.Ids)}";
        return Text(header, "alg") == key.Algorithm ? null : $"its algorithm is '{Shown(Text(header, "alg") ?? "")}', and its key is for {key.Algorithm}";
    }

    private static string? ReadClaims(JsonElement claims, out WebToken? token)
    {
        token = null;
        if (Text(claims, "iss") is not { } issuer) return "it has no issuer (iss)";
        if (Text(claims, "sub") is not { } subject) return "it has no subject (sub)";
        if (Time(claims, "exp") is not { } expires) return "it has no end (exp)";
        if (claims.TryGetProperty("nbf", out _) && Time(claims, "nbf") is null) return "its beginning (nbf) is no time";
        token = new WebToken(issuer, subject, Audience(claims), expires, Time(claims, "nbf"));
        return null;
    }

    private static ImmutableArray<string> Audience(JsonElement claims)
    {
        if (!claims.TryGetProperty("aud", out var aud)) return [];
        return aud.ValueKind == JsonValueKind.Array ? [.. aud.EnumerateArray().Select(one => one.GetString()!)] : [aud.GetString()!];
    }

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static DateTimeOffset? Time(JsonElement claims, string name) =>
        claims.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var seconds) && seconds is >= 0 and < 253402300800
            ? DateTimeOffset.UnixEpoch.AddSeconds(Math.Floor(seconds)) : null;

    private static string Shown(string text) => text.Length <= 64 ? text : text[..64] + "...";
}
