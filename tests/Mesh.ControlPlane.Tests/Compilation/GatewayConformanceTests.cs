using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules;
using Mesh.ControlPlane.Tests.Model;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>
/// The request tables of the Gateway API conformance suite, from manifests to compiled routes: which backend, or which refusal. Only
/// tests whose routes use what is supported so far; routes to Gateways are re-parented to a Service, as the suite's notes say.
/// </summary>
public sealed partial class GatewayConformanceTests
{
    private static readonly string[] Unfit = ["listener", "route-hostnames", "tls", "setup", "pod-ip", "endpoints"];
    private static readonly string? Folder = Find();

    public static TheoryData<string> Tests()
    {
        if (Folder is null) return ["(no conformance tables beside the repository)"];
        return [.. Json().RootElement.GetProperty("tests").EnumerateArray().Where(IsSupported).Select(test => test.GetProperty("name").GetString()!)];
    }

    [SkippableTheory]
    [MemberData(nameof(Tests))]
    public void Requests_reach_the_backends_of_the_table(string name)
    {
        Skip.If(Folder is null, "no shared/conformance/gateway-api beside the repository");
        var test = Json().RootElement.GetProperty("tests").EnumerateArray().Single(test => test.GetProperty("name").GetString() == name);
        var parsed = RuleReader.Read(Manifests(test).Select(manifest => new RuleFile(manifest, Encoding.UTF8.GetBytes(Prepared(manifest)))));
        Assert.Empty(parsed.Errors);
        var world = Given.World([], parsed.Rules);
        var cases = Json().RootElement.GetProperty("cases").EnumerateArray().Where(entry => entry.GetProperty("test").GetString() == name && IsRequest(entry)).ToList();
        Assert.NotEmpty(cases);
        foreach (var entry in cases) Check(entry, world);
    }

    private static void Check(JsonElement entry, World world)
    {
        var request = entry.GetProperty("request");
        var (ns, service, port) = request.TryGetProperty("target", out var target)
            ? (target.GetProperty("namespace").GetString()!, target.GetProperty("service").GetString()!, target.GetProperty("port").GetInt32())
            : ("gateway-conformance-infra", "front", 80);
        var host = world.For(Compiled.Node(ns: ns)).Host($"{service}.{ns}:{port}");
        var headers = request.GetProperty("headers").EnumerateObject().ToDictionary(header => header.Name.ToLowerInvariant(), header => header.Value.GetString()!);
        var route = RouteEvaluator.Choose(host.Routes, request.GetProperty("method").GetString()!, request.GetProperty("path").GetString()!, headers);
        var status = route is null ? 404 : route.Route_.Cluster == "mesh-invalid-backend" ? 500 : 200;
        var expect = entry.GetProperty("expect");
        var id = entry.GetProperty("id").GetString();
        Assert.True(expect.GetProperty("status").EnumerateArray().Any(allowed => allowed.GetInt32() == status), $"{id}: status {status}");
        if (expect.GetProperty("backend").GetString() is { } backend)
            Assert.True(route!.Route_.Cluster.Contains($"||{backend}.", StringComparison.Ordinal), $"{id}: {route.Route_.Cluster} instead of {backend}");
    }

    private static bool IsSupported(JsonElement test)
    {
        if (test.GetProperty("group").GetString() == "grpc") return false;
        var manifests = Manifests(test).Skip(1).Select(manifest => File.ReadAllText(Path.Combine(Folder!, "manifests", manifest))).ToList();
        return !manifests.Exists(text => Unsupported().IsMatch(text))
            && Json().RootElement.GetProperty("cases").EnumerateArray().Any(entry => entry.GetProperty("test").GetString() == test.GetProperty("name").GetString() && IsRequest(entry));
    }

    private static bool IsRequest(JsonElement entry) => entry.GetProperty("kind").GetString() == "table"
        && !entry.GetProperty("needs").EnumerateArray().Any(need => Unfit.Contains(need.GetString()));

    private static IEnumerable<string> Manifests(JsonElement test) =>
        test.GetProperty("manifests").EnumerateArray().Select(manifest => manifest.GetString()!).Prepend(test.GetProperty("base").GetString()!);

    // Gateways and what belongs to them is dropped, their routes get the Service "front" as parent.
    private static string Prepared(string manifest)
    {
        var documents = File.ReadAllText(Path.Combine(Folder!, "manifests", manifest)).Split("\n---\n").Where(document => Kept().IsMatch(document));
        var text = string.Join("\n---\n", documents.Select(document => document.Contains("kind: HTTPRoute", StringComparison.Ordinal) && !document.Contains("kind: Service", StringComparison.Ordinal)
            ? Parents().Replace(document, "  parentRefs: [{group: \"\", kind: Service, name: front}]\n") : document));
        return manifest.StartsWith("base/", StringComparison.Ordinal)
            ? text + "\n---\n{apiVersion: v1, kind: Service, metadata: {name: front, namespace: gateway-conformance-infra}, spec: {ports: [{port: 80}]}}\n"
            : text;
    }

    private static JsonDocument Json() => JsonDocument.Parse(File.ReadAllText(Path.Combine(Folder!, "cases.json")));

    private static string? Find([CallerFilePath] string here = "")
    {
        for (var folder = Directory.GetParent(here); folder is not null; folder = folder.Parent)
        {
            var found = Path.Combine(folder.FullName, "shared/conformance/gateway-api");
            if (Directory.Exists(found)) return found;
        }

        return null;
    }

    [GeneratedRegex(@"filters:|sessionPersistence|kind: (GRPCRoute|ReferenceGrant|BackendTLSPolicy)", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Unsupported();

    [GeneratedRegex("^kind: (HTTPRoute|Service)$", RegexOptions.Multiline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Kept();

    [GeneratedRegex(@"  parentRefs:\n(  - .*\n(    .*\n)*)+", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Parents();
}
