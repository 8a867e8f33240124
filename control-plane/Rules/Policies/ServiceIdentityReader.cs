using System.Collections.Immutable;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Rules.Documents;
using Mesh.ControlPlane.Rules.Kubernetes;

namespace Mesh.ControlPlane.Rules.Policies;

/// <summary>ServiceIdentity documents (policy.mesh/v1): which identities may serve a service. Pure but for the findings it adds.</summary>
internal static class ServiceIdentityReader
{
    private const int MostIdentities = 64;

    /// <summary>Reads a document; null when it cannot be used, which has been reported.</summary>
    public static ServiceIdentity? Read(Fields document)
    {
        var meta = ObjectMeta.Read(document, nameIsLabel: false);
        var spec = document.Required("spec", "it has the service and its identities");
        document.Done("apiVersion", "kind", "status");
        if (spec is null) return null;

        var service = ReadService(spec, meta.Namespace);
        var identities = ReadIdentities(spec);
        var required = spec.Word("mode", "permissive", "required") == "required";
        spec.Done();
        return new ServiceIdentity
        {
            Name = meta.FullName,
            Service = service,
            Identities = identities,
            Required = required,
            Source = new Provenance("ServiceIdentity", meta.Namespace, meta.Name, $"{document.Findings.File}:{document.Line}"),
        };
    }

    private static ServiceName ReadService(Fields spec, string ns)
    {
        if (spec.Required("service", "it names the service: {name: NAME}") is not { } item) return new ServiceName(ns, "");
        item.Require("name", "it is the service that may be served");
        var service = new ServiceName(item.Label("namespace") ?? ns, item.Label("name") ?? "");
        item.Done();
        if (service.Namespace != ns && ns != PolicySet.RootNamespace)
            item.Error("namespace", $"must be {ns}, the namespace of the document; for services of other namespaces put the document into {PolicySet.RootNamespace}");
        return service;
    }

    private static ImmutableArray<string> ReadIdentities(Fields spec)
    {
        var identities = ImmutableArray.CreateBuilder<string>();
        var items = spec.Scalars("identities", MostIdentities);
        if (items.Count == 0) spec.Error("identities", "is missing: list at least one, NAMESPACE/ACCOUNT or a SPIFFE ID");
        for (var i = 0; i < items.Count; i++)
        {
            var (text, path) = (items[i].Text, $"{spec.PathOf("identities")}[{i}]");
            if (PolicyFormats.IdentityProblem(text) is { } problem) spec.Findings.Error(items[i].Line, path, problem);
            else if (identities.Contains(text)) spec.Findings.Error(items[i].Line, path, $"names {text} again: remove one of the two");
            identities.Add(text);
        }

        return identities.ToImmutable();
    }
}
