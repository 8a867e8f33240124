using System.Text;

namespace Mesh.Api.Identity.Agent;

/// <summary>
/// The ways this agent can prove itself, in the order they are tried: the certificate it holds, its join token as long as that was not
/// used, its Kubernetes token. Files are read anew each time. Used by one loop.
/// </summary>
internal sealed class Enrollments
{
    private const int LongestToken = 16 * 1024;
    private const string JoinTokenName = "the join token";
    private readonly IdentityAgentOptions options;
    private readonly SvidVerifier verifier;
    private readonly JoinToken? joinToken;
    private readonly string trustDomain;
    private bool joinTokenUsed;

    public Enrollments(IdentityAgentOptions options, SvidVerifier verifier)
    {
        (this.options, this.verifier) = (options, verifier);
        if (options.JoinToken is { } text && !JoinToken.TryRead(text, out joinToken, out var problem)) throw new FormatException(problem);
        trustDomain = joinToken?.Identity.TrustDomain ?? options.TrustDomain;
        if (SpiffeId.TrustDomainProblem(trustDomain) is { } bad) throw new FormatException($"'{trustDomain}' names no trust domain: {bad}");
        if (joinToken is null && options is { KubeTokenFile: null, IdentityDir: null })
            throw new FormatException("there is nothing to prove an identity with: give a join token (meshctl token create), a Kubernetes token file, or an identity folder");
        if (options is { KubeTokenFile: not null, CaFile: null } && joinToken is null)
            throw new FormatException("a Kubernetes token is given and nothing that says which control plane may see it: give --ca FILE with the mesh's roots");
        // What is wrong with a file is better said at the start than in an hour.
        if (options.CaFile is not null) ReadRoots();
    }

    /// <summary>The address as a URL; only TLS is taken.</summary>
    public static string AddressOf(string controlPlane)
    {
        if (controlPlane.StartsWith("https://", StringComparison.Ordinal)) return controlPlane;
        return controlPlane.Contains("://", StringComparison.Ordinal) || controlPlane.StartsWith("unix:", StringComparison.Ordinal)
            ? throw new FormatException($"'{controlPlane}' is not reached by TLS: certificates are had at https://HOST:15012 only")
            : "https://" + controlPlane;
    }

    /// <summary>Why a kept certificate is not the one that was asked for; null when it is.</summary>
    public string? WhyNotKept(Credentials found) => joinToken is null || joinToken.Identity == found.Svid.Id
        ? null
        : $"it is for '{found.Svid.Id}', and the join token for '{joinToken.Identity}'";

    /// <summary>The ways to try now; what rules one out is added to <paramref name="reasons"/>.</summary>
    public IEnumerable<Enrollment> Ways(Credentials? held, DateTimeOffset now, List<string> reasons)
    {
        if (held is not null)
        {
            if (now < held.Svid.NotAfter)
                yield return new("the certificate held", ControlPlaneTrust.ByRoots(verifier, held.Bundle), held.Svid, null, held.Svid.Id, held.Bundle.TrustDomain);
            else
                reasons.Add($"the certificate held ended at {held.Svid.NotAfter:u}; the clock here says {now:u}");
        }

        if (joinToken is not null && Trust(held, reasons) is { } trust)
        {
            if (joinTokenUsed) reasons.Add("the join token is used up: start again with a new one (meshctl token create)");
            else yield return new(JoinTokenName, trust, null, joinToken.Text, joinToken.Identity, trustDomain);
        }

        if (ReadKubeToken(reasons) is { } token && Trust(held, reasons) is { } known)
            yield return new("the Kubernetes token", known, null, token, held?.Svid.Id, trustDomain);
    }

    /// <summary>A join token works once.</summary>
    public void Used(Enrollment enrollment) => joinTokenUsed |= enrollment.By == JoinTokenName;

    private ControlPlaneTrust? Trust(Credentials? held, List<string> reasons)
    {
        try
        {
            if (options.CaFile is not null) return ControlPlaneTrust.ByRoots(verifier, ReadRoots());
            if (joinToken is not null) return ControlPlaneTrust.ByHash(verifier, trustDomain, joinToken.Root);
            return held is null ? null : ControlPlaneTrust.ByRoots(verifier, held.Bundle);
        }
        catch (Exception e) when (e is FormatException or IOException or UnauthorizedAccessException)
        {
            reasons.Add(e.Message);
            return null;
        }
    }

    private TrustBundle ReadRoots()
    {
        try
        {
            return TrustBundle.FromPem(trustDomain, RegularFiles.ReadText(options.CaFile!, SecureFiles.MaxLength));
        }
        catch (FormatException e)
        {
            throw new FormatException($"{options.CaFile}: {e.Message}", e);
        }
    }

    private string? ReadKubeToken(List<string> reasons)
    {
        if (options.KubeTokenFile is not { } file) return null;
        try
        {
            var token = Encoding.ASCII.GetString(RegularFiles.Read(file, LongestToken)).Trim();
            if (token.Length > 0 && token.All(c => c is > ' ' and < '\u007f')) return token;
            reasons.Add($"{file} holds no token");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            reasons.Add($"the Kubernetes token cannot be read: {e.Message}");
        }

        return null;
    }
}
