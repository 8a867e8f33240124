using System.Collections.Immutable;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Rules.Documents;
using Mesh.ControlPlane.Rules.GatewayApi;
using Mesh.ControlPlane.Rules.Istio;
using Mesh.ControlPlane.Rules.Kubernetes;
using Mesh.ControlPlane.Rules.Policies;

namespace Mesh.ControlPlane.Rules;

/// <summary>Rule files -> model. Every file is read whole and every error of every file is reported. One use, one thread.</summary>
internal sealed class RuleReader
{
    private readonly ImmutableArray<ServiceDocument>.Builder services = ImmutableArray.CreateBuilder<ServiceDocument>();
    private readonly ImmutableArray<EndpointSliceDocument>.Builder slices = ImmutableArray.CreateBuilder<EndpointSliceDocument>();
    private readonly ImmutableArray<Instance>.Builder pods = ImmutableArray.CreateBuilder<Instance>();
    private readonly ImmutableArray<HttpRoute>.Builder httpRoutes = ImmutableArray.CreateBuilder<HttpRoute>();
    private readonly ImmutableArray<ServiceIdentity>.Builder serviceIdentities = ImmutableArray.CreateBuilder<ServiceIdentity>();
    private readonly ImmutableArray<PeerAuthentication>.Builder peerAuthentications = ImmutableArray.CreateBuilder<PeerAuthentication>();
    private readonly ImmutableArray<AuthorizationPolicy>.Builder authorizationPolicies = ImmutableArray.CreateBuilder<AuthorizationPolicy>();
    private readonly Dictionary<(string Kind, string Namespace, string Name), string> seen = [];

    private RuleReader()
    {
    }

    /// <summary>Reads <paramref name="files"/> as one set.</summary>
    public static ParsedRules Read(IEnumerable<RuleFile> files)
    {
        var reader = new RuleReader();
        var errors = new List<RuleError>();
        var warnings = new List<RuleError>();
        foreach (var file in files.OrderBy(file => file.Path, StringComparer.Ordinal))
        {
            var findings = new Findings(file.Path);
            foreach (var document in DocumentParser.Parse(file, findings)) reader.Read(document, "", findings);
            errors.AddRange(findings.Errors.OrderBy(error => error.Line));
            warnings.AddRange(findings.Warnings.OrderBy(warning => warning.Line));
        }

        var rules = new RuleSet
        {
            Services = reader.services.ToImmutable(),
            EndpointSlices = reader.slices.ToImmutable(),
            Pods = reader.pods.ToImmutable(),
            HttpRoutes = reader.httpRoutes.ToImmutable(),
            ServiceIdentities = reader.serviceIdentities.ToImmutable(),
            PeerAuthentications = reader.peerAuthentications.ToImmutable(),
            AuthorizationPolicies = reader.authorizationPolicies.ToImmutable(),
        };
        return new ParsedRules(rules, [.. errors], [.. warnings]);
    }

    private void Read(DocumentNode node, string path, Findings findings)
    {
        if (Fields.Of(node, path, findings) is not { } document) return;
        var kind = Kinds.Of(document);
        if (kind == "List" && path.Length == 0) ReadList(document, findings);
        else if (kind == "List") document.Error("kind", "a List inside of a List is not supported: write its items out");
        else if (kind is not null && IsFirst(kind, document)) ReadDocument(kind, document);
    }

    private void ReadList(Fields list, Findings findings)
    {
        list.Require("items", "a List has them");
        if (list.Value("items") is SequenceNode items)
        {
            for (var i = 0; i < items.Items.Count; i++) Read(items.Items[i], $"items[{i}]", findings);
        }
        else if (list.Has("items"))
        {
            list.Error("items", $"must be a list, is {list.Value("items")!.Describe()}");
        }

        list.Done("apiVersion", "kind", "metadata");
    }

    private void ReadDocument(string kind, Fields document)
    {
        switch (kind)
        {
            case "Service": Add(services, ServiceReader.Read(document)); break;
            case "ServiceEntry": AddHosts(ServiceEntryReader.Read(document), document); break;
            case "EndpointSlice": Add(slices, EndpointSliceReader.Read(document)); break;
            case "Pod": Add(pods, PodReader.Read(document)); break;
            case "AuthorizationPolicy": Add(authorizationPolicies, AuthorizationPolicyReader.Read(document)); break;
            case "PeerAuthentication": Add(peerAuthentications, PeerAuthenticationReader.Read(document)); break;
            case "ServiceIdentity": Add(serviceIdentities, ServiceIdentityReader.Read(document)); break;
            default: Add(httpRoutes, HttpRouteReader.Read(document)); break;
        }
    }

    // A host means one thing for all of the mesh.
    private void AddHosts(IEnumerable<ServiceDocument> hosts, Fields document)
    {
        foreach (var host in hosts)
        {
            var place = $"{document.Findings.File}:{document.Line}";
            if (seen.TryAdd(("host", "", host.Name.Name), place)) services.Add(host);
            else document.Findings.Error(document.Line, "spec.hosts", $"{host.Name} is declared already, at {seen[("host", "", host.Name.Name)]}: remove one");
        }
    }

    private bool IsFirst(string kind, Fields document)
    {
        if (document.Value("metadata") is not MappingNode metadata || metadata.Find("name")?.Value is not ScalarNode name) return true;
        var ns = metadata.Find("namespace")?.Value is ScalarNode { IsNull: false } written ? written.Text : ServiceName.DefaultNamespace;
        var place = $"{document.Findings.File}:{document.Line}";
        if (seen.TryAdd((kind, ns, name.Text), place)) return true;
        document.Findings.Error(document.Line, document.Path, $"{kind} {ns}/{name.Text} is there twice, first at {seen[(kind, ns, name.Text)]}: remove one");
        return false;
    }

    private static void Add<T>(ImmutableArray<T>.Builder list, T? item)
        where T : class
    {
        if (item is not null) list.Add(item);
    }
}
