using System.Collections.Immutable;
using System.Text;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Rules;

namespace Mesh.ControlPlane.Tests.Model.Policies;

/// <summary>Worlds made of rule files as people write them, and of workloads.</summary>
internal static class PolicyWorld
{
    public const string Prefix = "spiffe://cluster.local/ns/";

    public static RuleSet Rules(string yaml)
    {
        var parsed = RuleReader.Read([new RuleFile("r.yaml", Encoding.UTF8.GetBytes(yaml))]);
        Assert.Empty(parsed.Errors.Select(error => error.ToString()));
        return parsed.Rules;
    }

    public static World Of(string yaml, params Instance[] instances) => Of(Trust.None, yaml, instances);

    public static World Of(Trust trust, string yaml, params Instance[] instances) => Next(World.Empty, trust, yaml, instances);

    public static World Next(World previous, Trust trust, string yaml, params Instance[] instances) => WorldBuilder.Build(
        previous,
        ImmutableSortedDictionary<string, ImmutableArray<Instance>>.Empty.Add(SourceOrder.Workloads, [.. instances]),
        ImmutableSortedDictionary<string, RuleSet>.Empty.Add(SourceOrder.Files, Rules(yaml)),
        trust);

    /// <summary>A workload that proved the account of its service, or another.</summary>
    public static Instance Proved(string id, string service, string port = "8080:http", string? account = null)
    {
        var workload = Plain(id, service, port);
        return workload with { Identity = $"{Prefix}{workload.Namespace}/sa/{account ?? workload.Service}" };
    }

    /// <summary>A workload without identity.</summary>
    public static Instance Plain(string id, string service, string port = "8080:http") =>
        Given.Workload(id, service, port) with { Address = $"10.1.0.{id.Sum(c => c) % 250}" };

    public static Instance Labelled(this Instance instance, string key, string value) => instance with { Labels = instance.Labels.SetItem(key, value) };

    public static string Authorization(string name, string spec, string ns = "shop", bool dryRun = false) => $$"""
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {name: {{name}}, namespace: {{ns}}{{(dryRun ? ", annotations: {istio.io/dry-run: \"true\"}" : "")}}}
        spec: {{{spec}}}
        ---

        """;

    public static string PeerAuthentication(string name, string spec, string ns = "shop") => $$"""
        apiVersion: security.istio.io/v1
        kind: PeerAuthentication
        metadata: {name: {{name}}, namespace: {{ns}}}
        spec: {{{spec}}}
        ---

        """;

    public static string ServiceIdentity(string name, string spec, string ns = "shop") => $$"""
        apiVersion: policy.mesh/v1
        kind: ServiceIdentity
        metadata: {name: {{name}}, namespace: {{ns}}}
        spec: {{{spec}}}
        ---

        """;
}
