using Envoy.Config.Route.V3;
using Google.Protobuf;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>HTTPRoute matches in the words of xDS, for both dialects.</summary>
public sealed class MatchTests
{
    [Theory]
    [InlineData(MatchKind.PathPrefix, "/", """{ "prefix": "/" }""")]
    [InlineData(MatchKind.PathPrefix, "/foo", """{ "path_separated_prefix": "/foo" }""")]
    [InlineData(MatchKind.PathPrefix, "/foo/", """{ "path_separated_prefix": "/foo" }""")]
    [InlineData(MatchKind.Exact, "/foo/", """{ "path": "/foo/" }""")]
    [InlineData(MatchKind.Exact, "/", """{ "path": "/" }""")]
    [InlineData(MatchKind.RegularExpression, "/v[0-9]+", """{ "safe_regex": { "regex": "/v[0-9]+" } }""")]
    public void Path_for_sidecars(MatchKind kind, string path, string expected) =>
        Assert.Equal(expected, Text(MatchCompiler.Sidecar(new HttpRouteMatch { PathKind = kind, Path = path })));

    [Theory]
    [InlineData(MatchKind.PathPrefix, "/", """{ "prefix": "/" }""")]
    [InlineData(MatchKind.PathPrefix, "/pkg.Shop", """{ "path": "/pkg.Shop" } { "prefix": "/pkg.Shop/" }""")]
    [InlineData(MatchKind.Exact, "/pkg.Shop/Buy", """{ "path": "/pkg.Shop/Buy" }""")]
    [InlineData(MatchKind.RegularExpression, "/v[0-9]+", """{ "safe_regex": { "regex": "/v[0-9]+" } }""")]
    public void Path_for_gRPC(MatchKind kind, string path, string expected) =>
        Assert.Equal(expected, string.Join(' ', MatchCompiler.Grpc(new HttpRouteMatch { PathKind = kind, Path = path }).Select(Text)));

    [Fact]
    public void Method_headers_and_query_for_sidecars() => Assert.Equal(
        """{ "prefix": "/", "headers": [ { "name": ":method", "string_match": { "exact": "GET" } }, { "name": "x", "string_match": { "exact": "1" } }, { "name": "y", "string_match": { "safe_regex": { "regex": "a.*" } } } ], "query_parameters": [ { "name": "q", "string_match": { "exact": "2" } } ] }""",
        Text(MatchCompiler.Sidecar(new HttpRouteMatch
        {
            Method = "GET",
            Headers = [new ValueMatch("x", MatchKind.Exact, "1"), new ValueMatch("y", MatchKind.RegularExpression, "a.*")],
            QueryParams = [new ValueMatch("q", MatchKind.Exact, "2")],
        })));

    [Fact]
    public void Headers_for_gRPC_are_in_the_old_fields_that_all_versions_know() => Assert.Equal(
        """{ "prefix": "/", "headers": [ { "name": "x", "exact_match": "1" }, { "name": "y", "safe_regex_match": { "regex": "a.*" } } ] }""",
        Text(Assert.Single(MatchCompiler.Grpc(new HttpRouteMatch
        {
            Method = "POST",
            Headers = [new ValueMatch("x", MatchKind.Exact, "1"), new ValueMatch("y", MatchKind.RegularExpression, "a.*")],
        }))));

    [Fact]
    public void What_no_RPC_can_match_is_left_out_for_gRPC()
    {
        Assert.Empty(MatchCompiler.Grpc(new HttpRouteMatch { Method = "GET" }));
        Assert.Empty(MatchCompiler.Grpc(new HttpRouteMatch { QueryParams = [new ValueMatch("q", MatchKind.Exact, "2")] }));
    }

    private static string Text(RouteMatch match) => new JsonFormatter(JsonFormatter.Settings.Default.WithPreserveProtoFieldNames(true)).Format(match);
}
