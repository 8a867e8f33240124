using System.Net;
using Mesh.Api.Identity;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Admin.Authz;

/// <summary>
/// Answers who may call what from the live policies: what each workload behind the service would do, by the rules it was sent. Pure.
/// </summary>
internal sealed class AuthorizationCheck
{
    private const int MostIdentities = 2000;
    private readonly CompiledWorld compiled;
    private readonly AuthorizationQuestion question;
    private readonly Destination destination;
    private readonly List<string> warnings = [];

    private AuthorizationCheck(CompiledWorld compiled, AuthorizationQuestion question, Destination destination) =>
        (this.compiled, this.question, this.destination) = (compiled, question, destination);

    /// <summary>The answer, or null and what is wrong with the question.</summary>
    public static AuthorizationAnswer? Answer(CompiledWorld compiled, AuthorizationQuestion question, out string error)
    {
        var problem = Problem(question);
        SpiffeId? caller = null;
        if (problem is null && question.From.Length > 0) caller = IdentityOf(question.From, compiled.World.Trust.Domain, out problem);
        error = problem ?? "";
        if (problem is not null) return null;
        var found = Destination.Find(question.To, caller?.Namespace ?? ServiceName.DefaultNamespace, compiled.World, out error);
        return found is null ? null : new AuthorizationCheck(compiled, question, found).Answer(caller);
    }

    private AuthorizationAnswer Answer(SpiffeId? caller)
    {
        // Workloads that no policy tells apart are judged once.
        var judges = destination.Workloads.GroupBy(KeyOf).Select(same => (Workload: same.First(), Judge: new Judge(compiled, same.First()))).ToArray();
        var callers = question.WhoCan ? Everybody() : [caller?.ToString()];
        var verdicts = callers.Select(id => Decide(id, judges)).ToArray();
        AddWarnings(judges);
        return new AuthorizationAnswer
        {
            Destination = $"{destination.Service.Name}:{destination.Port.Port}",
            Mode = judges[0].Judge.Mode.ToString().ToUpperInvariant(),
            Verdicts = verdicts,
            Warnings = [.. warnings.Distinct(StringComparer.Ordinal)],
        };
    }

    private AuthorizationVerdict Decide(string? caller, (Destination.Workload Workload, Judge Judge)[] judges)
    {
        var trial = new Trial(caller, SourceOf(caller), question.Method, question.Path, AuthorityOf(), question.Headers);
        var verdicts = judges.Select(pair => (pair.Workload, Verdict: pair.Judge.Decide(trial))).ToArray();
        var first = verdicts.FirstOrDefault(pair => !pair.Verdict.Allowed).Verdict ?? verdicts[0].Verdict;
        if (verdicts.FirstOrDefault(pair => pair.Verdict.Allowed != first.Allowed) is { Workload: { } other })
            warnings.Add($"the workloads of {destination.Service.Name} differ: {verdicts.First(pair => pair.Verdict == first).Workload.Id} refuses it, {other.Id} does not");
        if (!question.WhoCan) Contradictions(first);
        return first;
    }

    private void Contradictions(AuthorizationVerdict verdict)
    {
        var matched = verdict.Steps.Where(step => step is { Matched: true, DryRun: false }).ToArray();
        foreach (var deny in matched.Where(step => step.Action == "DENY"))
        {
            foreach (var allow in matched.Where(step => step.Action == "ALLOW"))
                warnings.Add($"{deny.Policy} ({deny.Location}) denies what {allow.Policy} ({allow.Location}) allows: DENY decides");
        }
    }

    private void AddWarnings((Destination.Workload Workload, Judge Judge)[] judges)
    {
        if (judges[0].Workload.Id.Length == 0) warnings.Add($"nobody serves {destination.Service.Name} now: the answer is for a workload without further labels");
        foreach (var workload in destination.Workloads.Where(workload => !workload.HasSidecar).Take(3))
            warnings.Add($"instance {workload.Id} has no sidecar: nothing is enforced there");
        if (judges.Select(pair => pair.Judge.Mode).Distinct().Count() > 1) warnings.Add($"the workloads of {destination.Service.Name} differ in their mutual TLS mode");
        foreach (var notice in compiled.World.AllNotices.Where(IsAboutPolicies)) warnings.Add($"{notice.Source.Location}: {notice.Text}");
    }

    private bool IsAboutPolicies(Notice notice) =>
        notice.Source.Kind is "AuthorizationPolicy" or "PeerAuthentication" or "ServiceIdentity"
        && (notice.Source.Namespace == destination.Service.Name.Namespace || notice.Source.Namespace == PolicySet.RootNamespace);

    private IEnumerable<string?> Everybody()
    {
        var all = KnownIdentities.Of(compiled.World);
        if (all.Count > MostIdentities) warnings.Add($"there are {all.Count} identities; the answer is for the first {MostIdentities} of them, ask for others with --from");
        return all.Order(StringComparer.Ordinal).Take(MostIdentities).Cast<string?>().Append(null);
    }

    private IPAddress SourceOf(string? caller)
    {
        if (question.Address.Length > 0) return IPAddress.Parse(question.Address);
        var instance = caller is null ? null : compiled.World.Instances.Values.FirstOrDefault(candidate => candidate.Identity == caller);
        return instance is not null && IPAddress.TryParse(instance.Address, out var address) ? address : IPAddress.Loopback;
    }

    private string AuthorityOf() => question.Headers.FirstOrDefault(header => header.Key.Equals("host", StringComparison.OrdinalIgnoreCase)).Value ?? destination.Authority;

    private object KeyOf(Destination.Workload workload)
    {
        var policies = compiled.World.Policies.AuthorizationOf(workload.Traits).ToArray();
        var looksAtAddress = policies.Any(policy => policy.Rules.Any(rule => rule.When.Any(condition => condition.Attribute == CallAttribute.DestinationIp)));
        return (
            workload.Port, workload.Protocol, workload.HasIdentity, looksAtAddress ? workload.Address.ToString() : "",
            compiled.Policies.ModeOf(workload.Traits, workload.Port), string.Join(',', policies.Select(policy => policy.Name)));
    }

    private static string? Problem(AuthorizationQuestion question)
    {
        if (question.Method.Length > 0 && !question.Path.StartsWith('/') && question.Path != "*") return $"path: '{question.Path}' does not begin with /";
        if (question.Method.Length == 0 && question.Path.Length > 0) return "method: is missing beside the path";
        return question.Address.Length > 0 && !IPAddress.TryParse(question.Address, out _) ? $"address: '{question.Address}' is not an IP address" : null;
    }

    private static SpiffeId? IdentityOf(string text, string trustDomain, out string? problem)
    {
        var whole = text.StartsWith(IdentityName.Scheme, StringComparison.Ordinal) ? text
            : text.StartsWith("ns/", StringComparison.Ordinal) ? IdentityName.PrefixOf(trustDomain) + text
            : IdentityName.Expand(text, trustDomain);
        if (!SpiffeId.TryParse(whole, out var id, out problem)) problem = $"from: '{text}' is not ns/NAMESPACE/sa/ACCOUNT or a SPIFFE ID: {problem}";
        return id;
    }
}
