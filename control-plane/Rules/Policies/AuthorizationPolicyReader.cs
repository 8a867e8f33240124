using System.Collections.Immutable;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Rules.Documents;
using Mesh.ControlPlane.Rules.Kubernetes;

namespace Mesh.ControlPlane.Rules.Policies;

/// <summary>AuthorizationPolicy documents (security.istio.io/v1). Pure but for the findings it adds.</summary>
internal static class AuthorizationPolicyReader
{
    private const string DryRun = "istio.io/dry-run";
    private const string TellsClient = "policy.mesh/tells-client";
    private const int MostRules = 512;
    private const int MostTargets = 16;

    /// <summary>Reads a document; null when it cannot be used, which has been reported.</summary>
    public static AuthorizationPolicy? Read(Fields document)
    {
        var meta = ObjectMeta.Read(document, nameIsLabel: false);
        var spec = document.Object("spec");
        document.Done("apiVersion", "kind", "status");
        var policy = new AuthorizationPolicy
        {
            Name = meta.FullName,
            DryRun = Switch(document, meta, DryRun),
            TellsClient = Switch(document, meta, TellsClient),
            Source = new Provenance("AuthorizationPolicy", meta.Namespace, meta.Name, $"{document.Findings.File}:{document.Line}"),
        };
        if (spec is null) return policy;

        policy = policy with
        {
            Action = Action(spec),
            Selector = PolicyFormats.Selector(spec),
            Targets = Targets(spec, meta.Namespace),
            Rules = Rules(spec, policy.Source),
        };
        spec.NotYet("provider", "external authorization is");
        spec.NotYet("targetRef", "a single target (write targetRefs) is");
        spec.Done();
        if (!policy.Selector.IsEmpty && !policy.Targets.IsEmpty) spec.Error("targetRefs", "cannot stand beside a selector: keep one of the two");
        if (policy.Rules.IsEmpty && policy.Action != PolicyAction.Allow)
            spec.Warn("action", $"a policy without rules matches nothing, so this {spec.Text("action")} has no effect; write rules: [{{}}] to match everything");
        return policy;
    }

    private static bool Switch(Fields document, ObjectMeta meta, string annotation)
    {
        if (!meta.Annotations.TryGetValue(annotation, out var text)) return false;
        if (text is "true" or "false") return text == "true";
        document.Error("metadata", $"annotation {annotation} must be \"true\" or \"false\", is \"{text}\"");
        return false;
    }

    private static PolicyAction Action(Fields spec)
    {
        switch (spec.Word("action", "ALLOW", "DENY", "AUDIT", "CUSTOM"))
        {
            case "DENY": return PolicyAction.Deny;
            case "AUDIT": return PolicyAction.Audit;
            case "CUSTOM":
                spec.Error("action", "CUSTOM (external authorization) is not supported yet: use ALLOW, DENY or AUDIT");
                return PolicyAction.Deny;
            default: return PolicyAction.Allow;
        }
    }

    private static ImmutableArray<ServiceName> Targets(Fields spec, string ns)
    {
        var targets = ImmutableArray.CreateBuilder<ServiceName>();
        foreach (var item in spec.Objects("targetRefs", MostTargets))
        {
            item.Require("kind", "it is Service");
            item.Require("name", "it is the service the policy is for");
            if (item.Text("kind") is { } kind && kind != "Service") item.Error("kind", $"must be Service, is {kind}: other targets are not supported yet");
            if (item.Text("group") is { } group && group is not ("" or "core")) item.Error("group", $"must be \"\" for a Service, is \"{group}\"");
            if (item.Label("namespace") is { } other && other != ns) item.Error("namespace", $"must be {ns}: a policy holds in its own namespace");
            targets.Add(new ServiceName(ns, item.Label("name") ?? ""));
            item.Done();
        }

        if (spec.Value("targetRefs") is SequenceNode { Items.Count: 0 }) spec.Error("targetRefs", "is empty: remove it, or name a Service");
        return targets.ToImmutable();
    }

    private static ImmutableArray<AuthorizationRule> Rules(Fields spec, Provenance source)
    {
        var rules = ImmutableArray.CreateBuilder<AuthorizationRule>();
        foreach (var item in spec.Objects("rules", MostRules))
        {
            rules.Add(new AuthorizationRule(
                AuthorizationRuleReader.From(item),
                AuthorizationRuleReader.To(item),
                AuthorizationConditionReader.When(item),
                source with { Rule = rules.Count, Location = $"{item.Findings.File}:{item.Line}" }));
            item.Done();
        }

        return rules.ToImmutable();
    }
}
