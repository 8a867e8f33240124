using System.Collections.Immutable;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Rules.Documents;

namespace Mesh.ControlPlane.Rules.Policies;

/// <summary><c>from</c> and <c>to</c> of a rule of an AuthorizationPolicy. Pure but for the findings it adds.</summary>
internal static class AuthorizationRuleReader
{
    private const int MostAlternatives = 512;

    /// <summary>Reads <c>from</c>: who calls.</summary>
    public static ImmutableArray<CallSource> From(Fields rule) => List(rule, "from", "source", Source);

    /// <summary>Reads <c>to</c>: what is called.</summary>
    public static ImmutableArray<CallOperation> To(Fields rule) => List(rule, "to", "operation", Operation);

    // An empty list or an empty item would match everything; nobody writes that on purpose, so Istio refuses both, and so do we.
    private static ImmutableArray<T> List<T>(Fields rule, string name, string inner, Func<Fields, T> read)
    {
        var items = ImmutableArray.CreateBuilder<T>();
        foreach (var item in rule.Objects(name, MostAlternatives))
        {
            if (item.Required(inner, "it says what is meant") is { } fields)
            {
                items.Add(read(fields));
                if (fields.IsEmpty) fields.Findings.Error(fields.Line, fields.Path, $"is empty: say what is meant, or remove {name}, which then matches everything");
            }

            item.Done();
        }

        if (rule.Value(name) is SequenceNode { Items.Count: 0 }) rule.Error(name, "is empty: remove it, or say what is meant");
        return items.ToImmutable();
    }

    private static CallSource Source(Fields source)
    {
        var read = new CallSource(
            PolicyFormats.Values(source, "principals", "notPrincipals", PolicyFormats.PrincipalProblem),
            PolicyFormats.Values(source, "namespaces", "notNamespaces", PolicyFormats.NamespaceProblem),
            PolicyFormats.Values(source, "serviceAccounts", "notServiceAccounts", PolicyFormats.AccountProblem),
            PolicyFormats.Values(source, "ipBlocks", "notIpBlocks", PolicyFormats.IpBlockProblem));
        foreach (var name in (ReadOnlySpan<string>)["requestPrincipals", "notRequestPrincipals"])
            source.NotYet(name, "identities of end users (JWT) are");
        foreach (var name in (ReadOnlySpan<string>)["remoteIpBlocks", "notRemoteIpBlocks"])
            source.NotYet(name, "addresses from X-Forwarded-For (ipBlocks looks at where the connection comes from) are");
        source.NotYet("trustDomains", "other trust domains are");
        source.NotYet("notTrustDomains", "other trust domains are");
        source.Done();
        if (!read.ServiceAccounts.IsEmpty && (!read.Principals.IsEmpty || !read.Namespaces.IsEmpty))
            source.Error("serviceAccounts", "cannot stand beside principals or namespaces: an account has both");
        return read;
    }

    private static CallOperation Operation(Fields operation)
    {
        var read = new CallOperation(
            PolicyFormats.Values(operation, "hosts", "notHosts", PolicyFormats.HostProblem),
            PolicyFormats.Values(operation, "ports", "notPorts", PolicyFormats.PortProblem),
            PolicyFormats.Values(operation, "methods", "notMethods", PolicyFormats.MethodProblem),
            PolicyFormats.Values(operation, "paths", "notPaths", PolicyFormats.PathProblem, PathFormat.Canonical));
        operation.Done();
        return read;
    }
}
