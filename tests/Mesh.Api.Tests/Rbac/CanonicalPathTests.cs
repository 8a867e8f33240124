using System.Text.Json;
using Mesh.Api.Rbac;

namespace Mesh.Api.Tests.Rbac;

/// <summary>One form for what means the same, words for what has no single meaning.</summary>
public sealed class CanonicalPathTests
{
    [Theory]
    // Plain.
    [InlineData("/", "/")]
    [InlineData("/admin", "/admin")]
    [InlineData("/admin/", "/admin/")]
    [InlineData("/a?b=/../c", "/a")]
    [InlineData("/a?x#y", "/a")]
    [InlineData("/?", "/")]
    [InlineData("*", "*")]
    [InlineData("/pkg.Service/Method", "/pkg.Service/Method")]
    [InlineData("/a-b._~!$&'()*+,=:@", "/a-b._~!$&'()*+,=:@")]
    // Case is kept: /ADMIN is another path than /admin.
    [InlineData("/ADMIN", "/ADMIN")]
    // Dots that are no dot segments.
    [InlineData("/.well-known/x", "/.well-known/x")]
    [InlineData("/..a/...", "/..a/...")]
    [InlineData("/a./b..", "/a./b..")]
    // Percent-encoding is undone once where the character stands for itself, and in upper case where it does not.
    [InlineData("/%61dmin", "/admin")]
    [InlineData("/%7euser", "/~user")]
    [InlineData("/%41", "/A")]
    [InlineData("/admin%21", "/admin!")]
    [InlineData("/a%20b", "/a%20b")]
    [InlineData("/caf%c3%a9", "/caf%C3%A9")]
    [InlineData("/100%25", "/100%25")]
    [InlineData("/100%25/x", "/100%25/x")]
    [InlineData("/a%3fb", "/a%3Fb")]
    [InlineData("/a%23b", "/a%23b")]
    [InlineData("/a{b}|c", "/a%7Bb%7D%7Cc")]
    [InlineData("/a%7bb%7d%7cc", "/a%7Bb%7D%7Cc")]
    [InlineData("/%f0%9f%98%80", "/%F0%9F%98%80")]
    public void Has_one_canonical_form(string target, string expected)
    {
        using var path = CanonicalPath.Read(target);
        Assert.Null(path.Problem);
        Assert.Equal(1, path.Readings);
        Assert.Equal(expected, path.Value.ToString());
    }

    [Theory]
    // Dot segments, however they are written (CVE-2019-9901).
    [InlineData("/info/../private", "dot segment")]
    [InlineData("/..", "dot segment")]
    [InlineData("/.", "dot segment")]
    [InlineData("/./", "dot segment")]
    [InlineData("/a/.", "dot segment")]
    [InlineData("/%2e%2e/", "dot segment")]
    [InlineData("/.%2e/", "dot segment")]
    [InlineData("/%2E./x", "dot segment")]
    [InlineData("/app//../admin", "dot segment")]
    [InlineData("/user/..;foo=bar/admin", "dot segment")]
    [InlineData("/user/..;/admin", "dot segment")]
    [InlineData("/user/.;/admin", "dot segment")]
    [InlineData("/user/..%3b/admin", "dot segment")]
    [InlineData("/user/%2e%2e%3Bx/admin", "dot segment")]
    // Encoded slashes and backslashes (CVE-2021-29492).
    [InlineData("/x%2F..%2Fadmin", "slash")]
    [InlineData("/x%2fadmin", "slash")]
    [InlineData("/x%5cadmin", "slash")]
    [InlineData("/x%5C", "slash")]
    [InlineData("/x\\admin", "backslash")]
    // Encoded twice, overlong, no UTF-8, malformed.
    [InlineData("/%252e%252e/admin", "twice")]
    [InlineData("/%2561dmin", "twice")]
    [InlineData("/%25%32%65", "twice")]
    [InlineData("/%25%36%31dmin", "twice")]
    [InlineData("/%c0%af", "UTF-8")]
    [InlineData("/%c0%ae%c0%ae/", "UTF-8")]
    [InlineData("/%ff", "UTF-8")]
    [InlineData("/%ed%a0%80", "UTF-8")]
    [InlineData("/%c3", "UTF-8")]
    [InlineData("/%", "malformed")]
    [InlineData("/%4", "malformed")]
    [InlineData("/%zz", "malformed")]
    [InlineData("/%u002e", "malformed")]
    [InlineData("/%+1", "malformed")]
    // Fragment, NUL, controls (CVE-2021-32779).
    [InlineData("/admin#x", "fragment")]
    [InlineData("/admin%00", "control")]
    [InlineData("/admin%0a", "control")]
    [InlineData("/admin%1b", "control")]
    [InlineData("/admin%7f", "control")]
    [InlineData("/admin\u0000", "not allowed")]
    [InlineData("/admin\u001b", "not allowed")]
    [InlineData("/admin x", "not allowed")]
    [InlineData("/admin\u0080", "not allowed")]
    [InlineData("/caf\u00e9", "not allowed")]
    [InlineData("/\uff0f", "not allowed")]
    // No path at all.
    [InlineData("", "begin")]
    [InlineData("?a", "begin")]
    [InlineData("admin", "begin")]
    [InlineData("%2fadmin", "begin")]
    [InlineData("**", "begin")]
    public void What_has_no_single_meaning_is_a_problem(string target, string words)
    {
        using var path = CanonicalPath.Read(target);
        Assert.NotNull(path.Problem);
        Assert.Contains(words, path.Problem, StringComparison.Ordinal);
        Assert.Equal(0, path.Readings);
    }

    [Theory]
    [InlineData("/admin;x=y", "/admin;x=y|/admin")]
    [InlineData("/admin;", "/admin;|/admin")]
    [InlineData("/admin%3Bx", "/admin;x|/admin")]
    [InlineData("/a;v=1/b;w=2/c", "/a;v=1/b;w=2/c|/a/b/c")]
    [InlineData("/;/admin", "/;/admin|//admin|/admin")]
    [InlineData("//", "//|/")]
    [InlineData("//admin", "//admin|/admin")]
    [InlineData("/a///b//", "/a///b//|/a/b/")]
    [InlineData("/a//b;x", "/a//b;x|/a//b|/a/b;x|/a/b")]
    [InlineData("/.a//b", "/.a//b|/.a/b")]
    [InlineData("/a;b;c//%41", "/a;b;c//A|/a//A|/a;b;c/A|/a/A")]
    public void Parameters_and_empty_segments_are_further_readings(string target, string expected)
    {
        using var path = CanonicalPath.Read(target);
        Assert.Null(path.Problem);
        var readings = Enumerable.Range(0, path.Readings).ToArray();
        var read = new List<string>();
        foreach (var i in readings) read.Add(path[i].ToString());
        Assert.Equal(expected.Split('|'), read);
    }

    /// <summary>Whatever is allowed is its own canonical form: reading it again changes nothing.</summary>
    [Fact]
    public void The_canonical_form_is_a_fixed_point_and_a_path_of_any_bytes_never_throws()
    {
        var random = new Random(20250);
        const string alphabet = "/././%25%2f%2e%61;;a=bZ%c3%a9%ff\\#? *";
        for (var i = 0; i < 20_000; i++)
        {
            var target = "/" + string.Create(random.Next(24), random, (span, r) =>
            {
                for (var c = 0; c < span.Length; c++) span[c] = r.Next(10) == 0 ? (char)r.Next(256) : alphabet[r.Next(alphabet.Length)];
            });
            using var path = CanonicalPath.Read(target);
            if (path.Problem is not null) continue;
            using var again = CanonicalPath.Read(path.Value);
            Assert.True(again.Problem is null && again.Value.SequenceEqual(path.Value), $"'{target}' -> '{path.Value}' -> '{again.Value}' {again.Problem}");
        }
    }

    [Theory]
    [InlineData("/a b", PathPattern.Exact, "/a%20b")]
    [InlineData("/caf\u00e9", PathPattern.Exact, "/caf%C3%A9")]
    [InlineData("/%61", PathPattern.Prefix, "/a")]
    [InlineData("/{x}", PathPattern.Prefix, "/%7Bx%7D")]
    [InlineData("/a/.", PathPattern.Prefix, "/a/.")]
    [InlineData("./b", PathPattern.Suffix, "./b")]
    [InlineData(".html", PathPattern.Suffix, ".html")]
    [InlineData("/info", PathPattern.Suffix, "/info")]
    [InlineData("./b/.", PathPattern.Contains, "./b/.")]
    [InlineData("*", PathPattern.Exact, "*")]
    [InlineData("/*", PathPattern.Exact, "/*")]
    public void What_rules_say_gets_the_same_form(string text, PathPattern kind, string expected)
    {
        Assert.Equal(expected, CanonicalPath.OfPattern(text, kind, out var problem));
        Assert.Null(problem);
    }

    [Theory]
    [InlineData("", PathPattern.Exact, "empty")]
    [InlineData("admin", PathPattern.Exact, "begin with /")]
    [InlineData("admin", PathPattern.Prefix, "begin with /")]
    [InlineData("/a/../b", PathPattern.Exact, "dot segment")]
    [InlineData("/a/..", PathPattern.Exact, "dot segment")]
    [InlineData("/a/../", PathPattern.Prefix, "dot segment")]
    [InlineData("/a/..", PathPattern.Suffix, "dot segment")]
    [InlineData("/a//b", PathPattern.Exact, "empty segment")]
    [InlineData("/a;b", PathPattern.Exact, "holds a ;")]
    [InlineData("/a?b", PathPattern.Exact, "query")]
    [InlineData("/a#b", PathPattern.Exact, "fragment")]
    [InlineData("/a%2fb", PathPattern.Exact, "slash")]
    [InlineData("/100%", PathPattern.Exact, "malformed")]
    [InlineData("/a\\b", PathPattern.Prefix, "backslash")]
    public void A_rule_that_no_request_could_match_is_a_problem(string text, PathPattern kind, string words)
    {
        Assert.Null(CanonicalPath.OfPattern(text, kind, out var problem));
        Assert.Contains(words, problem, StringComparison.Ordinal);
    }

    /// <summary>Paths that the Gateway API's conformance suite sends are honest: none may be refused, all are their own canonical form.</summary>
    [SkippableFact]
    public void Paths_of_the_gateway_conformance_suite_are_canonical()
    {
        var file = Conformance("gateway-api/cases.json");
        Skip.If(file is null, "no shared/conformance/gateway-api beside the repository");
        using var cases = JsonDocument.Parse(File.ReadAllText(file));
        var paths = cases.RootElement.GetProperty("cases").EnumerateArray()
            .Select(c => c.GetProperty("request").TryGetProperty("path", out var path) ? path.GetString() : null)
            .OfType<string>().Distinct().ToList();
        Assert.True(paths.Count > 50, $"only {paths.Count} paths in {file}");
        foreach (var target in paths)
        {
            using var path = CanonicalPath.Read(target);
            Assert.True(path.Problem is null, $"{target}: {path.Problem}");
            Assert.Equal(target.Split('?')[0], path.Value.ToString());
        }
    }

    private static string? Conformance(string name)
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var file = Path.Combine(folder.FullName, "shared/conformance", name);
            if (File.Exists(file)) return file;
        }

        return null;
    }
}
