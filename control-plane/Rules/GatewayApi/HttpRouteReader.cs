using System.Collections.Immutable;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules.Documents;
using Mesh.ControlPlane.Rules.Kubernetes;

namespace Mesh.ControlPlane.Rules.GatewayApi;

/// <summary>HTTPRoute documents (gateway.networking.k8s.io/v1) with Service parents. Limits are those of the CRD. Pure but for the findings it adds.</summary>
internal static class HttpRouteReader
{
    private const int MostParents = 32;
    private const int MostRules = 16;
    private const int MostMatches = 64;
    private const int MostMatchesInAll = 128;
    private const int MostBackends = 16;
    private const int MostHostnames = 16;

    /// <summary>Reads a document; null when it cannot be used, which has been reported.</summary>
    public static HttpRoute? Read(Fields document)
    {
        var meta = ObjectMeta.Read(document, nameIsLabel: false);
        var spec = document.Required("spec", "it has parentRefs and rules");
        document.Done("apiVersion", "kind", "status");
        if (spec is null) return null;

        var source = new Provenance("HTTPRoute", meta.Namespace, meta.Name, $"{document.Findings.File}:{document.Line}");
        var parents = ReadParents(spec, meta.Namespace);
        if (spec.Scalars("hostnames", MostHostnames).Count > 0)
            spec.Warn("hostnames", "have no effect on a route with Service parents (Gateway API, mesh): every host of the service is meant");
        var rules = ReadRules(spec, source, meta.Namespace);
        spec.NotYet("useDefaultGateways", "default gateways are");
        spec.Done();
        return new HttpRoute { Name = meta.FullName, Parents = parents, Rules = rules, Created = meta.Created, Source = source };
    }

    private static ImmutableArray<ParentRef> ReadParents(Fields spec, string ns)
    {
        var parents = ImmutableArray.CreateBuilder<ParentRef>();
        var items = spec.Objects("parentRefs", MostParents);
        if (items.Count == 0) spec.Error("parentRefs", "is missing: name the Service whose traffic the route takes over, - group: \"\", kind: Service, name: NAME");
        foreach (var item in items)
        {
            item.Require("name", "it is the Service whose traffic the route takes over");
            var group = item.Text("group");
            var kind = item.Text("kind") ?? "Gateway";
            if (kind != "Service") item.Error("kind", $"must be Service, is {kind}: other parents are not supported yet");
            else if (group is not ("" or "core")) item.Error("group", $"must be \"\" for a Service, is {(group is null ? "missing, which means gateway.networking.k8s.io" : $"\"{group}\"")}: write group: \"\"");
            item.NotYet("sectionName", "sections of a parent are");
            var name = item.Label("name");
            var parent = new ParentRef(new ServiceName(item.Label("namespace") ?? ns, name ?? ""), item.Integer("port", 1, 65535));
            item.Done();
            if (parents.Contains(parent)) item.Findings.Error(item.Line, item.Path, $"names {parent.Service} again: remove one of the two");
            parents.Add(parent);
        }

        return parents.ToImmutable();
    }

    private static ImmutableArray<HttpRouteRule> ReadRules(Fields spec, Provenance source, string ns)
    {
        var items = spec.Objects("rules", MostRules);
        if (items.Count == 0)
        {
            if (spec.Value("rules") is SequenceNode) spec.Error("rules", "must have at least one rule");
            return [new HttpRouteRule { Matches = [HttpRouteMatch.Everything], Backends = [], Source = source with { Rule = 0 } }];
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        var rules = ImmutableArray.CreateBuilder<HttpRouteRule>(items.Count);
        foreach (var item in items)
        {
            var rule = ReadRule(item, source with { Rule = rules.Count, Location = $"{spec.Findings.File}:{item.Line}" }, ns);
            if (rule.Name.Length > 0 && !names.Add(rule.Name)) item.Error("name", $"two rules are called \"{rule.Name}\"");
            rules.Add(rule);
        }

        var matches = rules.Sum(rule => rule.Matches.Length);
        if (matches > MostMatchesInAll) spec.Error("rules", $"have {matches} matches in all, more than the {MostMatchesInAll} allowed: split the route");
        return rules.MoveToImmutable();
    }

    private static HttpRouteRule ReadRule(Fields item, Provenance source, string ns)
    {
        item.NotYet("filters", "filters are");
        item.NotYet("sessionPersistence", "session persistence is");
        ImmutableArray<HttpRouteMatch> matches = [.. item.Objects("matches", MostMatches).Select(HttpRouteMatchReader.Read)];
        var (request, backendRequest) = TimeoutsReader.Timeouts(item);
        var rule = new HttpRouteRule
        {
            Name = item.Subdomain("name") ?? "",
            Matches = matches.Length > 0 ? matches : [HttpRouteMatch.Everything],
            Backends = [.. item.Objects("backendRefs", MostBackends).Select(backend => BackendRefReader.Read(backend, ns))],
            RequestTimeout = request,
            BackendRequestTimeout = backendRequest,
            Retry = TimeoutsReader.Retry(item),
            Source = source,
        };
        item.Done();
        return rule;
    }
}
