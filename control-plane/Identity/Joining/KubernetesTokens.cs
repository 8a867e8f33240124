using Mesh.Api.Identity;
using Mesh.Api.Logging;

namespace Mesh.ControlPlane.Identity.Joining;

/// <summary>
/// Tells who a Kubernetes pod is by its projected service-account token, checked against the cluster's public keys in a file (read again when it
/// changes). Whether the pod still lives is not asked. Thread safe.
/// </summary>
internal sealed class KubernetesTokens
{
    /// <summary>How far in the future a token may begin: clocks differ. There is no such grace after its end.</summary>
    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(60);
    private const string Subject = "system:serviceaccount:";
    private const int LargestFile = 1 << 20;
    private static readonly string[] Audiences = ["mesh-ca", "istio-ca"];
    private readonly string path;
    private readonly string? issuer;
    private readonly string trustDomain;
    private readonly TimeProvider time;
    private readonly Log log;
    private readonly Lock gate = new();
    private KeySet keys;
    private (long, DateTime) seen;

    /// <summary>Reads the keys; a <see cref="StartException"/> says what is wrong with the file.</summary>
    /// <param name="path">The JWKS file.</param>
    /// <param name="issuer">The only issuer that is believed; null for any whose keys are in the file.</param>
    /// <param name="trustDomain">Trust domain of the identities.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">Where a changed file that cannot be read is written.</param>
    public KubernetesTokens(string path, string? issuer, string trustDomain, TimeProvider time, Log log)
    {
        (this.path, this.issuer, this.trustDomain, this.time, this.log) = (path, issuer, trustDomain, time, log);
        try
        {
            (seen, keys) = (StampOf(path), ReadKeys(path));
        }
        catch (Exception e) when (e is FormatException or IOException or UnauthorizedAccessException)
        {
            throw new StartException($"--kube-jwks {path}: {e.Message}", e);
        }
    }

    /// <summary>The identity of a token's account, or why it is refused.</summary>
    public (SpiffeId? Id, string? Problem) Verify(string text)
    {
        if (!WebToken.TryRead(text, Keys(), out var token, out var problem)) return (null, "the Kubernetes token is refused: " + problem);
        problem = ProblemOf(token);
        if (problem is not null) return (null, "the Kubernetes token is refused: " + problem);
        var parts = token.Subject[Subject.Length..].Split(':');
        return (SpiffeId.ForWorkload(trustDomain, parts[0], parts[1]), null);
    }

    private string? ProblemOf(WebToken token)
    {
        var now = time.GetUtcNow();
        if (issuer is not null && token.Issuer != issuer) return $"its issuer is not {issuer}";
        if (now >= token.Expires) return $"it ended at {token.Expires:u}; it is {now:u}";
        if (token.NotBefore is { } from && now < from - Skew) return $"it begins at {from:u}; it is {now:u}";
        if (!token.Audiences.Any(audience => Audiences.Contains(audience, StringComparer.Ordinal)))
            return $"it is not for this authority: project it with the audience {Audiences[0]} (or {Audiences[1]})";
        return token.Subject.StartsWith(Subject, StringComparison.Ordinal) && token.Subject[Subject.Length..].Split(':') is [var ns, var account] && Fits(ns) && Fits(account)
            ? null : $"its subject is no {Subject}NAMESPACE:NAME";
    }

    // What Kubernetes allows in a name: DNS labels, parted by dots for accounts.
    private static bool Fits(string name) =>
        name.Length is > 0 and <= 253 && char.IsAsciiLetterOrDigit(name[0]) && name.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '-' or '.');

    private KeySet Keys()
    {
        lock (gate)
        {
            try
            {
                var now = StampOf(path);
                if (now == seen) return keys;
                seen = now;
                keys = ReadKeys(path);
                log.Info("the keys of Kubernetes tokens changed", ("file", path), ("keys", string.Join(',', keys.Ids)));
            }
            catch (Exception e) when (e is FormatException or IOException or UnauthorizedAccessException)
            {
                log.Error("the keys of Kubernetes tokens cannot be read; the last good ones serve on", ("file", path), ("error", e.Message));
            }

            return keys;
        }
    }

    private static (long, DateTime) StampOf(string path)
    {
        // A mounted file is a link that is swapped.
        var file = new FileInfo(File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path);
        return (file.Length, file.LastWriteTimeUtc);
    }

    private static KeySet ReadKeys(string path) => KeySet.Read(RegularFiles.Read(path, LargestFile));
}
